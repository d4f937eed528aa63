"""The box that searches for the masks; it goes on within itself."""

from onnxprune.compression.asking import opened_for, search_options
from onnxprune.compression.boxes import Work
from onnxprune.compression.files import RESULT, SEARCH, SEARCHED
from onnxprune.runs.folder import RECORD, RunFolder, clear, open_run
from onnxprune.search import Listener, options_of, resume, search, start
from onnxprune.search.options import COMMAND, SCHEMA


def search_box(work: Work) -> tuple[str, ...]:
    """A whole search in its own folder; its masks are what is pruned.

    Raises:
        DataError: E506, scoring failed three times in a row; what was done stays.
        TargetError: E702, no candidate met the target; the nearest was written.
        KeyboardInterrupt: A stop was asked for; what was evaluated is written.
    """
    if work.asked.limits:
        work.listener.warn(work.asked.why)
    run = begin(work)
    clear([work.at(SEARCHED)])  # the end is done again where it was not recorded: who knows what it holds
    search(run, listener_of(work), opened=opened_for(work.cost_model, work.parts, work.run.record["sha256"]))
    return (SEARCHED, RESULT)


def begin(work: Work) -> RunFolder:
    """The search, where it stopped the last time.

    Raises:
        UsageError: E208, it is damaged, or was made for something else.
    """
    folder = work.at(SEARCH)
    if not (folder / RECORD).exists():  # killed before it was a run
        clear([folder] if folder.exists() else [])
        options = search_options(work.options, work.asked.agent)
        opened = opened_for(work.cost_model, work.parts, work.run.record["sha256"])
        return start(options, folder, work.run.record["argv"], opened=opened)
    agent = options_of(open_run(folder, COMMAND)).agent
    return resume(folder, SCHEMA.values(search_options(work.options, agent)))


def listener_of(work: Work) -> Listener:
    """Who is told of the run is told of the search."""
    heard = work.listener
    return Listener(
        note=lambda text: heard.note(f"  {text}"),
        warn=heard.warn,
        step=heard.searching,
        stop=heard.stop,
        saving=heard.saving,
    )

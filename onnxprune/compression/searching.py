"""The box that searches for the masks; it goes on within itself."""

from dataclasses import replace

from onnxprune.compression.asking import opened_for, search_options
from onnxprune.compression.files import RESULT, SEARCH, SEARCHED
from onnxprune.compression.work import Work
from onnxprune.errors import TargetError
from onnxprune.runs.folder import RECORD, RunFolder, clear
from onnxprune.runs.identity import model_hash
from onnxprune.runs.opening import open_run
from onnxprune.search import Listener, Opened, options_of, resume, search, start
from onnxprune.search.options import COMMAND, SCHEMA


def search_box(work: Work) -> tuple[str, ...]:
    """A whole search in its own folder; its masks are what is pruned.

    Raises:
        DataError: E506, scoring failed three times in a row; what was done stays.
        TargetError: E702, no candidate met the target, which is the user's own; the nearest was written.
        KeyboardInterrupt: A stop was asked for; what was evaluated is written.
    """
    if work.asked.limits:
        work.listener.warn(work.asked.why)
    work.tell_base()
    opened = opened_by(work)
    run = begin(work, opened)
    clear([work.at(SEARCHED)])  # the end is done again where it was not recorded: who knows what it holds
    try:
        search(run, listener_of(work), opened=opened)
    except TargetError as error:
        if work.stage.last or not work.at(SEARCHED).exists():
            raise
        work.listener.warn(f"{error.code}: {error.message}; the next stage goes on from it")
    return (SEARCHED, RESULT)


def opened_by(work: Work) -> Opened:
    """What the search need not open again: the model that is pruned, and the samples."""
    sha256 = work.run.record["sha256"]
    if work.base.descent is not None:
        sha256 = {**sha256, "model": model_hash(work.base.groups.graph)}
    return opened_for(work.base_cost, work.parts, sha256, work.base.floors)


def begin(work: Work, opened: Opened) -> RunFolder:
    """The search, where it stopped the last time.

    Raises:
        UsageError: E208, it is damaged, or was made for something else.
    """
    folder, asked = work.at(SEARCH), work.base.options
    if not (folder / RECORD).exists():  # killed before it was a run
        clear([folder] if folder.exists() else [])
        options = search_options(asked, work.asked.agent)
        return start(options, folder, work.run.record["argv"], opened=opened)
    began = options_of(open_run(folder, COMMAND))
    moved = replace(asked, model=began.model)  # wherever the run lies now; the model's sha256 is compared
    return resume(folder, SCHEMA.values(search_options(moved, began.agent)))


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

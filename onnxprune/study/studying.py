"""A whole study in a folder: search every cell, choose what is trained, make the models, write it down."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxprune.errors import UsageError
from onnxprune.measurement.host import host_facts
from onnxprune.runs import folder as runs
from onnxprune.runs.begin import Asked, first_record, require_apart
from onnxprune.runs.config import Values, first_difference
from onnxprune.runs.folder import (
    CONFIG,
    LOG,
    RunFolder,
    check_new,
    clear,
    half_written,
    locked,
    make_run,
)
from onnxprune.runs.state import recorded, require_same
from onnxprune.study.cells import MODELS, SEARCHES, cells_of
from onnxprune.study.checking import check_study, identity, located
from onnxprune.study.jobs import do_all
from onnxprune.study.listener import Listener
from onnxprune.study.options import COMMAND, SCHEMA, StudyOptions
from onnxprune.study.records import case_of, chosen_agents, judged_by, record_of
from onnxprune.study.results import REPORT, RESULT, TABLE, write_results
from onnxprune.study.working import DONE, Job

OURS = (CONFIG, LOG, RESULT, REPORT, TABLE, SEARCHES, MODELS)


def start(options: StudyOptions, folder: Path, argv: Sequence[str], *, force: bool = False) -> RunFolder:
    """A new study in a folder; everything that can be checked is checked before there is one.

    Raises:
        UsageError: E203, the folder is in use, or holds what the study reads.
        OnnxPruneError: What one of its searches or trainings would refuse at once, with its name.
    """
    options = located(options)
    check_new(folder, COMMAND, force=force)
    require_apart((*options.models, options.data, options.test), folder, ours(options))
    check_study(options)
    sha256 = identity(options)
    asked = Asked(COMMAND, argv, options.seed, sha256, SCHEMA.recorded(options))
    run = make_run(folder, first_record(asked, host_facts().processor), ours(options))
    SCHEMA.write(run.path / CONFIG, options)
    return run


def ours(options: StudyOptions) -> tuple[str, ...]:
    """Names of all that a study writes."""
    return (*OURS, *(f"{Path(model).stem}.svg" for model in options.models))


def resume(folder: Path, given: Values) -> RunFolder:
    """A study to go on with.

    Args:
        folder: Of the study.
        given: Values that were given again, by key; they must be those of the study.

    Raises:
        UsageError: E208, no study, or one with another value.
    """
    run = runs.open_run(folder, COMMAND)
    made_for = SCHEMA.restored(run.record["options"])
    again = SCHEMA.values(located(SCHEMA.make({**made_for, **given})))
    difference = first_difference(made_for, again)
    if difference:
        raise UsageError(
            "E208", f"{folder}: study was made for {difference}", hint="start a new one with another -o"
        )
    return run


def options_of(run: RunFolder) -> StudyOptions:
    return SCHEMA.make(SCHEMA.restored(run.record["options"]))


def study(run: RunFolder, listener: Listener | None = None, *, workers: int = 1) -> None:
    """Do all that is not done yet; the results lie in the folder, in place.

    Args:
        run: From `start` or `resume`.
        listener: Who is told.
        workers: Searches, and then models, at once; each in a process of its own where there are several.

    Raises:
        UsageError: E208, a model or the samples are not those that the study was made for.
        KeyboardInterrupt: The state is saved.
    """
    listener = recording(run, listener or Listener())
    options = options_of(run)
    require_same(run, identity(options))
    with locked(run.path), recorded(run):
        clear(half_written(run.path))
        cells = cells_of(options)
        jobs = [Job(SEARCHES, cell, options, run.path, run.record["argv"]) for cell in cells]
        do_all(run, jobs, listener, workers=workers)
        records, judged = [record_of(run, cell) for cell in cells], judged_by(run, cells)
        chosen = chosen_agents(records, options, judged.sign)
        done = [job for job, record in zip(jobs, records, strict=True) if record.state == DONE]
        models = [replace(job, kind=MODELS, trained=case_of(job.cell.row) in chosen) for job in done]
        do_all(run, models, listener, workers=workers)
        write_results(run, options, judged)


def recording(run: RunFolder, listener: Listener) -> Listener:
    """The listener, with everything written to log.txt and warnings to run.json too."""

    def note(text: str) -> None:
        run.log(text)
        listener.note(text)

    def warn(text: str) -> None:
        run.log(f"warning: {text}")
        run.warn(text)
        listener.warn(text)

    return replace(listener, note=note, warn=warn)

"""A whole study in a folder: search every cell, choose what is trained, make the models, write it down."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnxprune.cost import CostModel
from onnxprune.latency import Step, TimedCostModel, ignore
from onnxprune.measurement.host import host_facts
from onnxprune.runs.begin import Asked, first_record, options_again, require_apart
from onnxprune.runs.config import Values
from onnxprune.runs.folder import (
    CONFIG,
    LOG,
    RunFolder,
    clear,
    half_written,
    locked,
    write_json,
)
from onnxprune.runs.opening import check_new, make_run, open_run
from onnxprune.runs.replaced import kept_on_failure
from onnxprune.runs.state import logged_note, logged_warning, recorded, require_same
from onnxprune.study.cells import MODELS, SEARCHES, SUMS, TABLES, cells_of, policies_of, rows_of
from onnxprune.study.checking import check_study, identity, located
from onnxprune.study.jobs import do_all
from onnxprune.study.listener import Listener
from onnxprune.study.options import COMMAND, FREE_ON_RESUME, SCHEMA, StudyOptions
from onnxprune.study.records import case_of, chosen_agents, judged_by, record_of
from onnxprune.study.results import REPORT, RESULT, TABLE, write_results
from onnxprune.study.working import DONE, Job, table_file

OURS = (CONFIG, LOG, RESULT, REPORT, TABLE, TABLES, SUMS, SEARCHES, MODELS)


def start(
    options: StudyOptions,
    folder: Path | str,
    argv: Sequence[str],
    *,
    force: bool = False,
    progress: Step = ignore,
) -> RunFolder:
    """A new study in a folder; everything that can be checked is checked before there is one.

    Args:
        options: What decides the study.
        folder: Of the study.
        argv: Words of the command line, for the record.
        force: Replace a study that lies there.
        progress: Called with what was measured so far, where a target bounds the latency.

    Raises:
        UsageError: E203, the folder is in use, or holds what the study reads.
        OnnxPruneError: What one of its searches or trainings would refuse at once, with its name.
    """
    options = located(options)
    check_new(folder, COMMAND, force=force)
    read = (*options.models, options.data, options.test, *policies_of(options).values())
    require_apart(read, folder, ours(options))
    counted = check_study(options, progress)
    sha256 = identity(options)
    asked = Asked(COMMAND, argv, options.seed, sha256, SCHEMA.recorded(options))
    run = make_run(folder, first_record(asked, host_facts().processor), ours(options))
    with kept_on_failure(folder):
        SCHEMA.write(run.path / CONFIG, options)
        write_tables(run, options, counted)
    return run


def write_tables(run: RunFolder, options: StudyOptions, counted: Mapping[str, CostModel]) -> None:
    """What was measured of the latency, for all searches to count by, in place."""
    for row in rows_of(options):
        cost_model = counted[row.case]
        if isinstance(cost_model, TimedCostModel):
            (run.path / TABLES).mkdir(exist_ok=True)
            write_json(table_file(run.path, row), cost_model.table.to_json())


def ours(options: StudyOptions) -> tuple[str, ...]:
    """Names of all that a study writes."""
    return (*OURS, *(f"{Path(model).stem}.svg" for model in options.models))


def resume(folder: Path | str, given: Values) -> RunFolder:
    """A study to go on with.

    Args:
        folder: Of the study.
        given: Values that were given again, by key; they must be those of the study.

    Raises:
        UsageError: E208, no study, or one with another value.
    """
    run = open_run(folder, COMMAND)
    options = options_again(run, SCHEMA, given, located=located, free=FREE_ON_RESUME)
    run.record["options"] = SCHEMA.recorded(options)
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
    told = listener or Listener()
    note, warn = logged_note(run, told.note), logged_warning(run, told.warn)
    listener = replace(told, note=note, warn=warn)
    options = options_of(run)
    require_same(run, identity(options))
    with locked(run.path), kept_on_failure(run.path), recorded(run):
        clear(half_written(run.path))
        cells = cells_of(options)
        jobs = [Job(SEARCHES, cell, options, run.path, run.record["argv"]) for cell in cells]
        do_all(run, jobs, listener, workers=workers)
        clear([run.path / SUMS])
        records = [record_of(run, cell) for cell in cells]
        chosen = chosen_agents(records, options, judged_by(run, cells).sign)
        done = [job for job, record in zip(jobs, records, strict=True) if record.state == DONE]
        models = [replace(job, kind=MODELS, trained=case_of(job.cell.row) in chosen) for job in done]
        do_all(run, models, listener, workers=workers)
        write_results(run, options, judged_by(run, cells))

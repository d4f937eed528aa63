"""The whole path, box by box, in a folder where it can stop at any moment and go on.

inspect -> baseline -> search -> prune -> reconstruct -> distill -> choose -> measure -> latency -> report

From search to choose once for each stage, from the model that the stage before left.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxprune.compression.boxes import Box, inspect_box, prune_box, reconstruct_box
from onnxprune.compression.checks import (
    check_distinct,
    check_parts,
    check_reach,
    check_searching,
    check_values,
)
from onnxprune.compression.config import SCHEMA, make_options, write_config
from onnxprune.compression.files import COMMAND, OURS, RESULT, SEARCH, SEARCHED, STAGES, open_run
from onnxprune.compression.inputs import counted_by, identity, open_parts, prune_options
from onnxprune.compression.judging import baseline_box, choose_box, latency_box, measure_box
from onnxprune.compression.listener import Listener
from onnxprune.compression.options import FREE_ON_RESUME, CompressOptions
from onnxprune.compression.report import report_box
from onnxprune.compression.searching import search_box
from onnxprune.compression.stages import stages_of
from onnxprune.compression.training import FOLDER, check_training, distill_box, require_torch
from onnxprune.compression.work import Work, at_stage, make_work
from onnxprune.errors import OnnxPruneError, TargetError
from onnxprune.latency import Step, ignore
from onnxprune.latency.run_file import write_table
from onnxprune.measurement.choice import choose_metric
from onnxprune.measurement.host import host_facts
from onnxprune.onnx_file.saving import data_path
from onnxprune.pipeline import load_groups
from onnxprune.runs.begin import Asked, first_record, options_again, require_apart, whole_path
from onnxprune.runs.folder import (
    CONFIG,
    RunFolder,
    clear,
    half_written,
    locked,
    now,
    read_json,
)
from onnxprune.runs.opening import check_new, make_run
from onnxprune.runs.replaced import kept_on_failure, let_go
from onnxprune.runs.state import logged_note, logged_warning, recorded, require_same
from onnxprune.search.inputs import counting

PRUNED = ("masks.json", "pruned.onnx")
MEASURED = "measurement.json"
MODELS = ("pruned.onnx", "reconstructed.onnx", "student.onnx")
BEFORE = (Box("inspect", (), inspect_box), Box("baseline", (), baseline_box))
STAGE = (
    Box("search", (), search_box, scratch=SEARCH),
    Box("prune", (SEARCHED,), prune_box),
    Box("reconstruct", PRUNED, reconstruct_box, model="reconstructed.onnx"),
    Box("distill", (*PRUNED, "reconstructed.onnx"), distill_box, model="student.onnx", scratch=FOLDER),
    Box("choose", ("masks.json", *MODELS), choose_box),
)
AFTER = (
    Box("measure", ("masks.json", "choice.json", *MODELS), measure_box),
    Box("latency", ("final.onnx",), latency_box),
    Box(
        "report",
        (
            *("groups.json", RESULT, "masks.json", "choice.json", MEASURED),
            *("latency.json", "distill.json"),
        ),
        report_box,
    ),
)
BOXES = (*BEFORE, *STAGE, *AFTER)
# Of a box that makes the result better but is not needed for it.
FORGIVEN = {"reconstruct": {"E406", "E802"}, "distill": {"E406", "E508", "E703", "E802"}}


def start(
    options: CompressOptions,
    folder: Path | str,
    argv: Sequence[str],
    *,
    force: bool = False,
    progress: Step = ignore,
) -> RunFolder:
    """A new run in a folder; everything that can be checked is checked before there is one.

    Args:
        options: What decides the run.
        folder: Of the run.
        argv: Words of the command line, for the record.
        force: Replace a run that lies there.
        progress: Called with what was measured so far, where the target bounds the latency.

    Raises:
        UsageError: E203, the folder is in use, or holds what the run reads; E201 or E202, options that
            make no sense.
        ModelError, UnsupportedError, DataError: The model or the samples cannot be used.
        TargetError: E701, no masks meet the target; E702, those that were given do not.
        RuntimeProblem: E603, torch, or a package that the agent needs, is not there.
    """
    options = located(options)
    check_new(folder, COMMAND, force=force)
    check_values(options)
    read = (options.model, options.data, options.test, options.masks, options.search.init_policy)
    require_apart(read, folder, OURS)
    if options.distill.enabled:
        require_torch()
    groups = load_groups(Path(options.model), prune_options(options, options.prune.criterion))
    check_reach(options, groups)
    parts = open_parts(options, groups.graph)
    check_parts(choose_metric(options.measure.metric, groups.graph, parts.search), parts, groups.graph)
    inputs = identity(options, groups.graph)
    check_distinct(options, inputs)
    if options.distill.enabled:
        check_training(options, groups.graph, rows=parts.fit.count or 1)
    cost_model = counting(groups, counted_by(options), progress)
    check_searching(options, cost_model, parts, inputs)
    asked = Asked(COMMAND, argv, options.seed, inputs, SCHEMA.recorded(options))
    run = make_run(folder, first_record(asked, host_facts().processor), OURS)
    with kept_on_failure(folder):
        write_config(run.path / CONFIG, options)
        write_table(run, cost_model)
    return run


def located(options: CompressOptions) -> CompressOptions:
    """The same with whole paths, so that the run can go on from another folder; checked for their types."""
    options = SCHEMA.checked(options)
    model, data = str(Path(options.model).absolute()), whole_path(options.data)
    given = (options.test, options.masks, options.search.init_policy, options.measure.latency_cache)
    test, masks, policy, cache = (None if spec is None else whole_path(spec) for spec in given)
    search = replace(options.search, init_policy=policy)
    measure = replace(options.measure, latency_cache=cache)
    return replace(options, model=model, data=data, test=test, masks=masks, search=search, measure=measure)


def resume(folder: Path | str, given: dict[str, Any]) -> RunFolder:
    """A run to go on with.

    Args:
        folder: Of the run.
        given: Options that were given again, by key; they must be those of the run, but for the budget of
            the search and who evaluates.

    Raises:
        UsageError: E208, no run, or one with another option, model or data.
    """
    run = open_run(folder)
    options = options_again(run, SCHEMA, given, located=located, free=FREE_ON_RESUME)
    check_values(options)
    run.record["options"] = SCHEMA.recorded(options)
    return run


def options_of(run: RunFolder) -> CompressOptions:
    return make_options(SCHEMA.restored(run.record["options"]))


def compress(run: RunFolder, listener: Listener | None = None) -> None:
    """Do every box that is not done yet; the result lies in the folder, in place.

        run = start(CompressOptions("model.onnx", "val.npz", ("macs=50%",)), Path("runs/a"), [])
        compress(run)

    Raises:
        UsageError: E208, the model or the samples are not those that the run was made for.
        OnnxPruneError: What a box met; the boxes before it stay done.
        TargetError: E702, the pruned model was measured to miss the target; everything was written.
        KeyboardInterrupt: The state is saved.
    """
    listener = recording(run, listener or Listener())
    options = options_of(run)
    work = make_work(options, run, listener)
    require_same(run, identity(options, work.graph))
    with locked(run.path), kept_on_failure(run.path), recorded(run):
        folders = (run.path, *(run.path / STAGES).glob("*"))
        clear(entry for folder in folders for entry in half_written(folder))
        write_config(run.path / CONFIG, options)
        if work.parts.told:
            listener.note(work.parts.told)
        for warning in work.graph.warnings:
            listener.warn(warning)
        for box, staged in path_of(work):
            step(box, staged)
            if box is BEFORE[-1]:
                let_go(run.path)
    require_targets(run)


def path_of(work: Work) -> Iterator[tuple[Box, Work]]:
    """All boxes in their order, those of each stage with what is at hand there."""
    yield from ((box, work) for box in BEFORE)
    for stage in stages_of(work.options.stages.count):
        staged = at_stage(work, stage)
        yield from ((box, staged) for box in STAGE)
        if stage.last:
            yield from ((box, staged) for box in AFTER)


def require_targets(run: RunFolder) -> None:
    """Raises: TargetError: E702, the result misses a bound."""
    missed = [target for target in read_json(run.path / MEASURED)["targets"] if not target["met"]]
    if missed:
        told = "; ".join(target.get("measured") or f"{target['share']:.1%} left" for target in missed)
        raise TargetError(
            "E702",
            f"{' '.join(target['target'] for target in missed)} was missed: {told}",
            hint="the nearest was written; ask for more, or measure on a quieter machine",
        )


def recording(run: RunFolder, listener: Listener) -> Listener:
    """The listener, with everything written to log.txt and warnings to run.json too."""

    def box(name: str, state: str) -> None:
        run.log(f"{name}: {state}")
        listener.box(name, state)

    note, warn = logged_note(run, listener.note), logged_warning(run, listener.warn)
    return replace(listener, note=note, warn=warn, box=box)


def step(box: Box, work: Work) -> None:
    """Do a box, or leave it where it is done, in place."""
    run, listener, name, read = work.run, work.listener, work.named(box.name), work.reads(box.reads)
    if run.finished(name, read):
        listener.box(name, "kept" if run.box(name)["state"] == "done" else "skipped")
        return
    work.at("").mkdir(parents=True, exist_ok=True)
    reads = run.hashes(read)
    if box.scratch and run.box(name).get("reads") != reads:
        clear([work.at(box.scratch)])
    began = time.monotonic()
    listener.box(name, "running")
    run.set_box(name, state="running", started=now(), reads=reads)
    state, why, names = attempt(box, work)
    if state == "skipped" and box.model:
        clear([work.at(box.model), data_path(work.at(box.model))])
    seconds = round(time.monotonic() - began, 2)
    outputs = run.hashes(map(work.named, names))
    run.set_box(name, state=state, why=why, ended=now(), seconds=seconds, reads=reads, outputs=outputs)
    listener.box(name, state)


def attempt(box: Box, work: Work) -> tuple[str, str, tuple[str, ...]]:
    """State, reason and files of a box."""
    options = work.options
    if box.name == SEARCH and not work.searched:
        if work.asked.limits:
            work.listener.warn(f"W504: nothing is searched: {work.asked.why}")
        return "skipped", work.asked.why, ()
    enabled = {"reconstruct": options.reconstruct.enabled, "distill": options.distill.enabled}
    if not enabled.get(box.name, True):
        return "skipped", "not asked for", ()
    try:
        return "done", "", box.function(work)
    except OnnxPruneError as error:
        required = box.name == "distill" and options.distill.required
        if required or error.code not in FORGIVEN.get(box.name, ()):
            raise
        work.listener.warn(f"{error.code}: {box.name} is left out: {error.message}")
        return "skipped", f"{error.code}: {error.message}", ()

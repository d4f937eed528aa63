"""A whole search in a folder: begin or go on, loop, select, write the result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnxprune.agents.types import Problem
from onnxprune.errors import DataError, TargetError, UsageError
from onnxprune.groups import Groups
from onnxprune.latency import Step, ignore
from onnxprune.latency.run_file import TABLE, read_table, write_table
from onnxprune.masks import load_masks, masks_hash
from onnxprune.measurement.host import host_facts
from onnxprune.onnx_file.saving import disk_errors
from onnxprune.runs.begin import Asked, first_record, options_again, require_apart
from onnxprune.runs.board import board
from onnxprune.runs.config import Values
from onnxprune.runs.folder import (
    BLOCK,
    CONFIG,
    LOG,
    RunFolder,
    clear,
    half_written,
    locked,
)
from onnxprune.runs.opening import check_new, make_run, open_run
from onnxprune.runs.replaced import kept_on_failure, let_go
from onnxprune.runs.state import logged_note, logged_warning, recorded, require_same
from onnxprune.search.agents import check_agent, make_agent, require_packages
from onnxprune.search.history import Scored
from onnxprune.search.inputs import (
    Inputs,
    Opened,
    budget_seconds,
    check_values,
    located,
    make_inputs,
    make_problem,
    open_all,
    prune_options,
)
from onnxprune.search.journal import CURVE, FOLDER, Journal
from onnxprune.search.listener import Listener
from onnxprune.search.loop import Baseline, Loop
from onnxprune.search.options import COMMAND, FREE_ON_RESUME, SCHEMA, SearchOptions
from onnxprune.search.originals import score_originals, selecting
from onnxprune.search.result import (
    ARRAYS,
    MASKS,
    POLICY,
    RESULT,
    Found,
    summary_of,
    write_policy,
    write_result,
)
from onnxprune.search.scoring import Bench, Score, score_by
from onnxprune.search.selection import (
    Judges,
    figure_of,
    fully_repaired,
    one_by,
    select,
    warned,
    watch_of,
)

SCRATCH = "evaluator"  # below the folder of the search: sums and rows, removed at the end
FEW = 100  # samples, below which figures are doubtful
OURS = (CONFIG, LOG, TABLE, MASKS, ARRAYS, RESULT, POLICY, FOLDER)


def start(
    options: SearchOptions,
    folder: Path | str,
    argv: Sequence[str],
    *,
    force: bool = False,
    opened: Opened | None = None,
    progress: Step = ignore,
) -> RunFolder:
    """A new run in a folder; everything that can be checked is checked before there is one.

    Args:
        options: What decides the search.
        folder: Of the run.
        argv: Words of the command line, for the record.
        force: Replace a run that lies there.
        opened: The model and the samples, where they are open already.
        progress: Called with what was measured so far, where the target bounds the latency.

    Raises:
        UsageError: E203, the folder is in use, or holds what the run reads; E201 or E202, options that
            make no sense.
        ModelError, UnsupportedError, DataError: The model or the samples cannot be used.
        TargetError: E701, no masks meet the target.
        RuntimeProblem: E603, the agent or the scheduler needs a package that is not there.
    """
    options = located(options)
    check_new(folder, COMMAND, force=force)
    check_values(options)
    require_apart((options.model, options.data, options.init_policy), folder, OURS)
    require_packages(options)
    if options.tensorboard:
        board(folder)
    opened = opened or open_all(options, progress=progress)
    check_search(options, opened)
    asked = Asked(COMMAND, argv, options.seed, opened.sha256, SCHEMA.recorded(options))
    run = make_run(folder, first_record(asked, host_facts().processor), OURS)
    with kept_on_failure(folder):
        SCHEMA.write(run.path / CONFIG, options)
        write_table(run, opened.cost_model)
    return run


def check_search(options: SearchOptions, opened: Opened) -> None:
    """Whether an agent can search on what was opened.

    Raises:
        UsageError: E201, E202, an option that the agent does not have, or a value that it refuses.
        DataError: E503, E504, samples that are too few or lack what the metric needs.
        TargetError: E701, no masks meet the target.
    """
    check_agent(make_problem(make_inputs(options, opened)), options)


def resume(folder: Path | str, given: Values) -> RunFolder:
    """A run to go on with.

    Args:
        folder: Of the run.
        given: Options that were given again, by key; they must be those of the run, but for the budget and
            who works.

    Raises:
        UsageError: E208, no run, or one with another option.
    """
    run = open_run(folder, COMMAND)
    options = options_again(run, SCHEMA, given, located=located, free=FREE_ON_RESUME)
    check_values(options)
    require_packages(options)
    run.record["options"] = SCHEMA.recorded(options)
    return run


def options_of(run: RunFolder) -> SearchOptions:
    return SCHEMA.make(SCHEMA.restored(run.record["options"]))


def search(
    run: RunFolder,
    listener: Listener | None = None,
    *,
    opened: Opened | None = None,
    kept: Path | None = None,
) -> None:
    """Search until all is evaluated; the masks lie in the folder, in place.

        run = start(SearchOptions("model.onnx", "val.npz", ("macs=50%",)), Path("runs/a"), [])
        search(run)

    Args:
        run: From `start` or `resume`.
        listener: Who is told.
        opened: The model and the samples, where they are open already; the caller has told of them.
        kept: Folder of sums and scores that several searches share, each by the name of what it follows
            from; None: the run has its own, removed at the end.

    Raises:
        UsageError: E208, the model or the samples are not those that the run was made for.
        DataError: E506, scoring failed three times in a row; what was done stays.
        TargetError: E702, no candidate met the target; the nearest was written.
        KeyboardInterrupt: The state is saved.
    """
    listener = recording(run, listener or Listener())
    options = options_of(run)
    given, opened = opened, opened or open_all(options, read_table(run, prune_options(options).target))
    require_same(run, opened.sha256)
    inputs = make_inputs(options, opened)
    if complete(run, options, inputs.groups):
        listener.note("all evaluations were done before")
        return
    with locked(run.path), kept_on_failure(run.path), recorded(run), disk_errors(run.path, BLOCK):
        clear(half_written(run.path))
        SCHEMA.write(run.path / CONFIG, options)
        if given is None:
            tell_of(opened, listener)
        scratch = run.path / FOLDER / SCRATCH
        carry_out(run, inputs, kept or scratch, listener)
        clear([scratch])


def tell_of(opened: Opened, listener: Listener) -> None:
    if opened.parts.told:
        listener.note(opened.parts.told)
    for warning in opened.groups.graph.warnings:
        listener.warn(warning)


def complete(run: RunFolder, options: SearchOptions, groups: Groups) -> bool:
    """Whether a run has its result, undamaged, and no budget ended it early."""
    if run.record["status"] != "done":
        return False
    try:
        found = summary_of(run)
        masks = [load_masks(run.path / name, groups) for name in (MASKS, ARRAYS)]
    except UsageError:
        return False
    own = all(masks_hash(one) == found["masks"]["sha256"] for one in masks)
    own = own and (run.path / FOLDER / CURVE).is_file()
    history = found["history"]
    return bool(own and (history.get("exhausted") or history["evaluations"] >= options.evaluations))


def recording(run: RunFolder, listener: Listener) -> Listener:
    """The listener, with everything written to log.txt and warnings to run.json too."""
    return replace(
        listener,
        note=logged_note(run, listener.note),
        detail=logged_note(run, listener.detail),
        warn=logged_warning(run, listener.warn),
    )


def carry_out(run: RunFolder, inputs: Inputs, kept: Path, listener: Listener) -> None:
    """Loop, select, write; sums and scores lie in the folder `kept`."""
    asked = make_problem(inputs, listener.note, kept)
    listener.note(f"[model] prunable groups: {len(inputs.groups.prunable)}; {asked.constraints}")
    if inputs.metric.unused:
        listener.warn(inputs.metric.unused)
    bench = Bench.of(inputs, kept, listener.note)
    problem = replace(asked, explained=bench.explained())
    with bench.pool(inputs.reward) as pool:
        score = score_by(pool)
        originals = score_originals(bench, score)
        let_go(run.path)
        loop = make_loop(run, bench, problem, score, originals["reward"], listener)
        try:
            loop.run()
        finally:
            listener.saving(False)
        finish(run, bench, loop, originals)


def make_loop(
    run: RunFolder, bench: Bench, problem: Problem, score: Score, whole: Scored, listener: Listener
) -> Loop:
    """The loop, where it stopped the last time.

    Raises:
        UsageError: E208, the checkpoint is damaged.
    """
    options, name, sign = bench.inputs.options, bench.inputs.metric.name, bench.inputs.metric.sign
    assert whole.accuracy is not None
    listener.note(f"[baseline] {name} {figure_of(whole.accuracy, sign):.4g} on {whole.rows} samples")
    if whole.rows < FEW:
        listener.warn(f"W504: candidates are judged on only {whole.rows} samples")
    loop = Loop(
        problem,
        make_agent(problem, options),
        score,
        Baseline(whole.accuracy, name, sign, whole.rows),
        Journal(run.path / FOLDER, tensorboard=options.tensorboard),
        listener,
        batch=options.batch,
        budget_s=budget_seconds(options.budget),
    )
    loop.resume()
    return loop


def finish(run: RunFolder, bench: Bench, loop: Loop, originals: Mapping[str, Scored]) -> None:
    """Compare the best on the selection split and write the result.

    Raises:
        DataError: E506, nothing could be scored.
        TargetError: E702, no candidate met the target; the nearest was written.
    """
    inputs, problem, listener = bench.inputs, loop.problem, loop.listener
    if not loop.history.known:
        raise DataError(
            "E506", "no candidate could be scored", hint="look at the warnings above, then start a new run"
        )
    listener.note("comparing the best on the selection split")
    full = inputs.options.evaluate.reconstruct_final
    selection = fully_repaired(inputs, inputs.selection) if full else one_by(selecting(bench))
    judges = Judges(
        reward=warned(one_by(loop.score), listener.warn),
        selection=warned(selection, listener.warn),
        watch=watch_of(inputs),
    )
    chosen = select(problem, loop.agent, loop.history, judges)
    if chosen.best.confirmed is not None:
        for warning in chosen.best.confirmed.beside.warnings:
            listener.warn(warning)
    write_policy(run.path, loop.agent.carried())
    found = Found(
        inputs, problem, loop.history, chosen, originals, loop.exhausted, loop.elapsed_s, loop.scoring_s
    )
    write_result(run, found)
    if chosen.best.violation > 0:
        raise TargetError(
            "E702",
            f"no candidate met {problem.target}; the nearest, {chosen.best.violation:.1%} above, was written",
            hint="more --evaluations, a longer --budget, or another --agent",
        )

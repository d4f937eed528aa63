"""What a search reads, opened and checked: nothing that can be known at once may come up after hours."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from onnxprune.agents.types import Floats, Problem
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA, require_criterion, score
from onnxprune.data import DataOptions, Samples, choose, split
from onnxprune.data.callables import load_callable
from onnxprune.data.options import parse_images, parse_map, parse_shapes
from onnxprune.errors import UsageError
from onnxprune.evaluation import METHODS
from onnxprune.groups import Groups
from onnxprune.latency import (
    LatencyTable,
    Step,
    TimedCostModel,
    WatchOptions,
    anchored,
    cost_model_for,
    ignore,
)
from onnxprune.measurement.choice import Metric, choose_metric, require_labels
from onnxprune.measurement.metrics import METRICS
from onnxprune.pipeline import PruneOptions, load_groups
from onnxprune.runs.begin import whole_path
from onnxprune.runs.identity import data_hash, model_hash
from onnxprune.runs.parts import WITHOUT_TEST, FitAndSearch, open_fit_and_search, require_rows
from onnxprune.search.agents import (
    agent_options,
    check_carrying,
    check_kind,
    prior_of,
    require_known,
)
from onnxprune.search.kept_scores import Scorer
from onnxprune.search.listener import unheard
from onnxprune.search.options import SCHEMA, ChannelSettings, SearchOptions
from onnxprune.target import Constraints, parse_min_keep, parse_target, resolve_align, settle

CALIBRATION_BATCH = 64
REWARD_SHARE = 0.5  # of the search part; the rest selects
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)")
SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Opened:
    """What a search reads, from a caller who has read it already, as the options ask for it.

    Attributes:
        groups: Of the original.
        parts: Of the samples.
        sha256: As `identity` gives it.
        cost_model: Of the groups; it knows the latency where the target bounds it.
        floors: Least numbers of channels of single groups, by name, where `min_keep` is not of this model.
    """

    groups: Groups
    parts: FitAndSearch
    sha256: dict[str, Any]
    cost_model: CostModel
    floors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """The model and the samples.

    Attributes:
        options: Of the run.
        groups: Of the original.
        fit: Samples to calibrate on.
        reward: Samples that candidates are judged on.
        selection: Others, on which the best few are compared at the end.
        metric: What accuracy is.
        cost_model: Of the groups.
        constraints: As asked for, before they are settled.
    """

    options: SearchOptions
    groups: Groups
    fit: Samples
    reward: Samples
    selection: Samples
    metric: Metric
    cost_model: CostModel
    constraints: Constraints

    @property
    def calibration(self) -> Samples:
        return choose(self.fit, self.options.evaluate.calibration_rows, seed=self.options.seed)

    @property
    def calibrating(self) -> str:
        """On how many, in words."""
        count = self.calibration.count
        rows = f"at most {self.options.evaluate.calibration_rows}" if count is None else count
        return f"{rows} samples"


def open_all(options: SearchOptions, table: LatencyTable | None = None, *, progress: Step = ignore) -> Opened:
    """The model and the samples; where the target bounds the latency, measured.

    Args:
        options: Of the run.
        table: What was measured of the latency before.
        progress: Called with the points that were measured so far, and all.

    Raises:
        TargetError: E701, no masks meet a bound on the latency.
        ModelError, UnsupportedError, DataError: They cannot be used; E402, nothing can be pruned.
        UsageError: E201, E202, options that make no sense.
    """
    groups = load_groups(Path(options.model), prune_options(options))
    reading = DataOptions(
        rename=parse_map(options.map),
        images=parse_images(options.images),
        portions=None if options.holdout else WITHOUT_TEST,
        seed=options.seed,
    )
    parts = open_fit_and_search(options.data, groups.graph.inputs, reading)
    asked, sha256 = prune_options(options), identity(options, groups)
    cost_model = counting(groups, asked, progress) if table is None else TimedCostModel(groups, table)
    return Opened(groups, parts, sha256, cost_model)


def counting(groups: Groups, asked: PruneOptions, progress: Step = ignore) -> CostModel:
    """What counts the target; where it bounds the latency, measured, and confirmed for a search to rely on.

    Raises:
        TargetError: E701, no masks meet the target.
        RuntimeProblem: E601, a required provider does not run; E605, the disk is full.
    """
    target, constraints, latency = asked.target, asked.constraints, asked.latency
    cost_model = cost_model_for(groups, target, constraints, latency, progress=progress)
    return anchored(cost_model, target, constraints, latency)


def make_inputs(options: SearchOptions, opened: Opened) -> Inputs:
    """The splits of the samples, and what they are judged by.

    Raises:
        DataError: E503, E504, samples that are too few or lack what the metric needs; E506, a metric of the
            user's that cannot be imported.
        UsageError: E201, a metric that is not known.
    """
    groups, parts = opened.groups, opened.parts
    most = options.samples
    fit, search = (p if most is None else choose(p, most) for p in (parts.fit, parts.search))
    reward, selection = split(search, REWARD_SHARE, seed=options.seed)
    if options.evaluate.reward_rows is not None:
        reward = choose(reward, options.evaluate.reward_rows, seed=options.seed)
    metric = choose_metric(options.evaluate.metric, groups.graph, search)
    require_rows(
        {"fit": fit, "reward": reward, "selection": selection},
        shares="a half of undivided samples is for fitting, a quarter for the search",
    )
    require_labels(metric, search, "search", groups.graph)
    if metric.name not in METRICS:
        load_callable(metric.name, code="E506")
    constraints = replace(prune_options(options).constraints, floors=opened.floors)
    return Inputs(options, groups, fit, reward, selection, metric, opened.cost_model, constraints)


def prune_options(options: SearchOptions) -> PruneOptions:
    """What the pipeline is asked for.

    Raises:
        UsageError: E202, a target, an alignment or a least share that makes no sense.
    """
    asked = asked_for(options.target, options.channels, shape=options.shape, seed=options.seed)
    settings = options.latency
    latency = WatchOptions(
        options.channels.device,
        require=settings.require,
        threads=settings.threads,
        folder=None if settings.cache is None else Path(settings.cache),
    )
    return replace(asked, latency=latency)


def asked_for(
    target: tuple[str, ...], settings: ChannelSettings, *, shape: tuple[str, ...], seed: int
) -> PruneOptions:
    """The texts of options, read.

    Raises:
        UsageError: E202, a target, an alignment or a least share that makes no sense.
    """
    constraints = Constraints(
        align=resolve_align(settings.align, provider=settings.device),
        min_keep=parse_min_keep(settings.min_keep),
    )
    return PruneOptions(
        parse_target(target),
        constraints=constraints,
        heads=settings.heads,
        skip=settings.skip,
        only=settings.only,
        shapes=parse_shapes(shape),
        seed=seed,
    )


def identity(options: SearchOptions, groups: Groups) -> dict[str, Any]:
    """sha256 of the model with its weights files, of the samples, and of a policy to begin with."""
    policy = None if options.init_policy is None else data_hash(options.init_policy)
    return {"model": model_hash(groups.graph), "data": data_hash(options.data), "init_policy": policy}


def make_problem(
    inputs: Inputs, note: Callable[[str], None] = unheard, folder: Path | None = None
) -> Problem:
    """What the agent is asked, its constraints settled for the target.

    Args:
        inputs: Of the search.
        note: Told of scores that take a while, before.
        folder: Where scores by samples are kept, and taken from.

    Raises:
        TargetError: E701, no masks meet the target; states the reachable minimum.
    """
    options, groups = inputs.options, inputs.groups
    target, cost_model = prune_options(options).target, inputs.cost_model

    def begun(criterion: str) -> None:
        note(f"[scores] {criterion}, from {inputs.calibrating}")

    scorer = Scorer(groups, inputs.calibration, CALIBRATION_BATCH, options.seed, folder, begun)

    @cache
    def scores(criterion: str) -> dict[str, Floats]:
        if not CRITERIA[criterion].needs_data:
            return score(groups, criterion, seed=options.seed)
        return scorer.scores(criterion)

    return Problem(
        cost_model,
        target,
        settle(cost_model, target=target, constraints=inputs.constraints),
        scores,
        prior=prior_of(options),
        evaluations=options.evaluations,
        seed=options.seed,
    )


def check_values(options: SearchOptions) -> None:
    """Whether the values make sense by themselves.

    Raises:
        UsageError: E201, E202, a name that is not known or a number out of its range.
        RuntimeProblem: E603, the prior criterion needs what is not installed.
    """
    check_kind(options)
    require_known("--prior", options.prior, ("auto", *CRITERIA))
    require_criterion(prior_of(options))
    require_known("--repair", options.evaluate.repair, METHODS)
    agent_options(options)
    budget_seconds(options.budget)
    least = {
        "--evaluations": options.evaluations,
        "--batch": options.batch,
        "--reward-rows": options.evaluate.reward_rows,
        "--calibration-rows": options.evaluate.calibration_rows,
        "--samples": options.samples,
        "--threads": options.latency.threads,
    }
    for option, value in least.items():
        if value is not None and value < 1:
            raise UsageError("E201", f"{option} {value}: must be at least 1")
    if not 0 <= options.seed <= MOST_SEED:
        raise UsageError("E201", f"--seed {options.seed}: must be in [0, {MOST_SEED}]")
    if options.workers < 0:
        raise UsageError("E201", f"--workers {options.workers}: must not be below 0")
    if options.init_policy is not None and not Path(options.init_policy).is_file():
        raise UsageError("E201", f"--init-policy {options.init_policy}: there is no such file")
    check_carrying(options)


def budget_seconds(text: str | None) -> float:
    """Seconds of "90s", "20m" or "1.5h"; infinite without any.

    Raises:
        UsageError: E202, not such a duration.
    """
    if text is None:
        return float("inf")
    match = DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError("E202", f"--budget {text}: want a duration", hint="--budget 90s, 20m or 1.5h")
    return seconds


def located(options: SearchOptions) -> SearchOptions:
    """The same with whole paths, so that the run can go on from another folder; checked for their types."""
    options = SCHEMA.checked(options)
    policy = None if options.init_policy is None else whole_path(options.init_policy)
    cache = None if options.latency.cache is None else whole_path(options.latency.cache)
    latency = replace(options.latency, cache=cache)
    model = str(Path(options.model).absolute())
    data = whole_path(options.data)
    return replace(options, model=model, data=data, init_policy=policy, latency=latency)

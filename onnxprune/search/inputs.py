"""What a search reads, opened and checked: nothing that can be known at once may come up after hours."""

import importlib.util
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from onnxprune.agents.table import AGENTS, AgentKind
from onnxprune.agents.types import Agent, Floats, Problem
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA, require_criterion, score
from onnxprune.data import DataOptions, Samples, choose, split
from onnxprune.data.callables import load_callable
from onnxprune.data.options import parse_images, parse_map, parse_shapes
from onnxprune.errors import DataError, RuntimeProblem, UsageError
from onnxprune.evaluation import METHODS, check_scheduler
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
from onnxprune.runs.parts import WITHOUT_TEST, FitAndSearch, open_fit_and_search
from onnxprune.search.options import ChannelSettings, SearchOptions
from onnxprune.target import Constraints, parse_min_keep, parse_target, resolve_align, settle

PRIORS = ("obs", "wanda", "group-l2")  # by falling promise
CALIBRATION_BATCH = 64
REWARD_SHARE = 0.5  # of the search part; the rest selects
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)")
SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
MOST_SEED = 2**32 - 1
PACKAGES = ("torch", "torch_geometric")


@dataclass(frozen=True)
class Opened:
    """What a search reads, from a caller who has read it already, as the options ask for it.

    Attributes:
        groups: Of the original.
        parts: Of the samples.
        sha256: As `identity` gives it.
        cost_model: Of the groups; it knows the latency where the target bounds it.
    """

    groups: Groups
    parts: FitAndSearch
    sha256: dict[str, Any]
    cost_model: CostModel


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
    """

    options: SearchOptions
    groups: Groups
    fit: Samples
    reward: Samples
    selection: Samples
    metric: Metric
    cost_model: CostModel

    @property
    def calibration(self) -> Samples:
        return choose(self.fit, self.options.evaluate.calibration_rows, seed=self.options.seed)


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
    for name, samples in (("fit", fit), ("reward", reward), ("selection", selection)):
        if samples.count == 0:
            raise DataError(
                "E504",
                f"{samples.source} has too few rows: none is left for the {name} split",
                hint="a half of undivided samples is for fitting, a quarter for the search",
            )
    require_labels(metric, search, "search", groups.graph)
    if metric.name not in METRICS:
        load_callable(metric.name, code="E506")
    return Inputs(options, groups, fit, reward, selection, metric, opened.cost_model)


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


def make_problem(inputs: Inputs) -> Problem:
    """What the agent is asked, its constraints settled for the target.

    Raises:
        TargetError: E701, no masks meet the target; states the reachable minimum.
    """
    options, groups = inputs.options, inputs.groups
    asked, cost_model = prune_options(options), inputs.cost_model

    @cache
    def scores(criterion: str) -> dict[str, Floats]:
        feeds = inputs.calibration.batches(CALIBRATION_BATCH)
        return dict(score(groups, criterion, feeds=feeds, seed=options.seed))

    return Problem(
        cost_model,
        asked.target,
        settle(cost_model, target=asked.target, constraints=asked.constraints),
        scores,
        prior=prior_of(options),
        evaluations=options.evaluations,
        seed=options.seed,
    )


def prior_of(options: SearchOptions) -> str:
    """As asked, or the most promising that there is."""
    auto = next(name for name in PRIORS if name in CRITERIA)
    return auto if options.prior == "auto" else options.prior


def make_agent(problem: Problem, options: SearchOptions) -> Agent:
    """The agent that the options name.

    Raises:
        UsageError: E201, E202, an option that it does not have, or a value that it refuses.
    """
    return kind_of(options.agent).make(problem, agent_options(options))


class ScoresAsked(Exception):
    """An agent is past its options and looks at the model."""


def check_agent(problem: Problem, options: SearchOptions) -> None:
    """Whether the agent takes its options, without the criteria that it would begin with.

    Raises:
        UsageError: E201, E202, an option that it does not have, or a value that it refuses.
    """

    def scores(_criterion: str) -> dict[str, Floats]:
        raise ScoresAsked

    with suppress(ScoresAsked):
        make_agent(replace(problem, scores=scores), options)


def kind_of(name: str) -> AgentKind:
    """Raises: UsageError: E201, an agent that is not known."""
    require_known("--agent", name, tuple(AGENTS))
    return AGENTS[name]


def agent_options(options: SearchOptions) -> dict[str, Any]:
    """What is handed to the agent, by name.

    Raises:
        UsageError: E201, a text that is not KEY=VALUE.
    """
    given: dict[str, Any] = {}
    for text in options.agent_option:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                "E201", f"--agent-option {text}: want KEY=VALUE, such as --agent-option clip=0.1"
            )
        given[key.strip()] = value.strip()
    if options.variant is not None:
        if given.get("variant", options.variant) != options.variant:
            raise UsageError(
                "E201", f"--variant {options.variant}, but --agent-option variant={given['variant']}"
            )
        given["variant"] = options.variant
    if options.reward is not None:
        given["reward"] = options.reward
    if options.init_policy is not None:
        given["init_policy"] = options.init_policy
    if options.freeze_encoder:
        given["freeze_encoder"] = True
    return given


def require_packages(options: SearchOptions) -> None:
    """Whether all is there that the search needs; before any work.

    Raises:
        RuntimeProblem: E603, the agent or the scheduler needs what is not installed.
        UsageError: E201, the scheduler has no address.
    """
    if options.cluster is not None:
        check_scheduler(options.cluster)
    kind = kind_of(options.agent)
    missing = missing_packages(kind)
    if missing:
        raise RuntimeProblem(
            "E603",
            f"agent {kind.name} needs {' and '.join(missing)}, not installed here",
            hint='pip install "onnxprune[agents]", or another --agent, such as cross-entropy',
        )


def missing_packages(kind: AgentKind) -> list[str]:
    """What the agent needs and is not installed."""
    return [name for name in PACKAGES if kind.needs_torch and not installed(name)]


def installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a module that is blocked
        return False


def check_values(options: SearchOptions) -> None:
    """Whether the values make sense by themselves.

    Raises:
        UsageError: E201, E202, a name that is not known or a number out of its range.
        RuntimeProblem: E603, the prior criterion needs what is not installed.
    """
    check_variant(kind_of(options.agent), options.variant)
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


def check_carrying(options: SearchOptions) -> None:
    """Raises: UsageError: E201, a policy, or its encoder, for an agent that cannot begin with one."""
    given = {"--init-policy": options.init_policy, "--freeze-encoder": options.freeze_encoder}
    flag = next((name for name, value in given.items() if value), None)
    if flag and not kind_of(options.agent).carries:
        able = " and ".join(name for name, kind in AGENTS.items() if kind.carries)
        raise UsageError(
            "E201", f"{flag}: agent {options.agent} cannot begin with a policy", hint=f"{able} can"
        )


def check_variant(kind: AgentKind, variant: str | None) -> None:
    """Raises: UsageError: E201, a variant that the agent does not have."""
    if variant is None:
        return
    if not kind.variants:
        having = ", ".join(name for name, one in AGENTS.items() if one.variants)
        raise UsageError(
            "E201",
            f"--variant {variant}: agent {kind.name} has no variants",
            hint=f"leave it out, or take an --agent that has them: {having}",
        )
    require_known("--variant", variant, kind.variants)


def require_known(option: str, name: str, known: tuple[str, ...]) -> None:
    """Raises: UsageError: E201, with the nearest name."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        raise UsageError("E201", f"unknown {option} '{name}'", hint=hint)


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
    """The same with whole paths, so that the run can go on from another folder."""
    policy = None if options.init_policy is None else whole_path(options.init_policy)
    cache = None if options.latency.cache is None else whole_path(options.latency.cache)
    latency = replace(options.latency, cache=cache)
    model = str(Path(options.model).absolute())
    data = whole_path(options.data)
    return replace(options, model=model, data=data, init_policy=policy, latency=latency)

"""What is checked before there is a run: nothing that can be known at once may come up after hours."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from onnxprune.agents.table import AGENTS
from onnxprune.allocation import ALLOCATIONS
from onnxprune.compression.asking import NONE, PREFERRED, asked_agent, opened_for, search_options
from onnxprune.compression.config import values_of
from onnxprune.compression.inputs import Parts, prune_options
from onnxprune.compression.options import CompressOptions
from onnxprune.compression.teaching import ORIGINAL, TEACHERS
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA
from onnxprune.errors import DataError, UsageError
from onnxprune.groups import Groups
from onnxprune.masks import load_masks
from onnxprune.measurement.choice import Metric, require_labels
from onnxprune.measurement.providers import requested_providers
from onnxprune.onnx_file import Graph
from onnxprune.pipeline import require_met
from onnxprune.reconstruction import METHODS
from onnxprune.runs.parts import require_rows
from onnxprune.search.agents import require_known, require_packages
from onnxprune.search.inputs import check_values as check_search_values
from onnxprune.search.searching import check_search
from onnxprune.target import require_reachable

# Key of the configuration, flag, least value.
LEAST = (
    ("samples", "--samples", 1),
    ("stages.count", "--stages", 1),
    ("stages.stage_epochs", "--stage-epochs", 0),
    ("search.evaluations", "--evaluations", 1),
    ("search.batch", "--search-batch", 1),
    ("search.reward_rows", "--reward-rows", 1),
    ("search.calibration_rows", "--search-calibration", 1),
    ("search.workers", "--workers", 0),
    ("reconstruct.rows", "--calibration", 1),
    ("distill.batch", "--batch", 1),
    ("measure.threads", "--threads", 1),
    ("measure.seconds", "--duration", 0),
)


def check_values(options: CompressOptions) -> None:
    """Raises: UsageError: E201, a name that is not known or a number out of its range."""
    for option, name, known in named(options):
        require_known(option, name, known)
    values = values_of(options)
    for key, option, least in LEAST:
        value = values[key]
        if value is not None and not value >= least:  # also what is no number
            raise UsageError("E201", f"{option} {value:g}: must be at least {least}")
    check_one_chooses(options)
    check_stages(options)
    agent = options.search.agent
    if agent != NONE:
        check_search_values(search_options(options, PREFERRED[0] if agent == "auto" else agent))
    requested_providers(options.measure.provider, onnxruntime.get_available_providers())


def check_one_chooses(options: CompressOptions) -> None:
    """Raises: UsageError: E201, more than one that chooses, or a policy to begin with and no agent."""
    agent, allocation = options.search.agent, options.prune.allocation
    if options.masks is not None and (agent not in ("auto", NONE) or allocation != "auto"):
        other = f"--agent {agent}" if allocation == "auto" else f"--allocation {allocation}"
        raise UsageError("E201", f"--masks say what stays; so {other} has nothing to choose")
    if agent not in ("auto", NONE) and allocation != "auto":
        raise UsageError(
            "E201",
            f"--allocation {allocation} is for --agent none; {agent} decides how much of each group goes",
            hint=f"leave one of them out; --agent {allocation} is that allocation as an agent",
        )
    policy = options.search.init_policy
    alone = agent == NONE or allocation != "auto" or options.masks is not None
    if policy is not None and alone:
        raise UsageError(
            "E201",
            f"--init-policy {policy} is for an agent that searches, and here none does",
            hint="leave it out, or --masks, --allocation and --agent none",
        )


def check_stages(options: CompressOptions) -> None:
    """Raises: UsageError: E201, an option that has nothing to do in so many stages, or without training."""
    stages, training = options.stages, options.distill
    if stages.count > 1 and options.masks is not None:
        raise UsageError("E201", f"--masks are there already; --stages {stages.count} would choose them")
    if stages.stage_epochs and stages.count == 1:
        raise UsageError(
            "E201",
            f"--stage-epochs {stages.stage_epochs} are for all stages but the last, and there is only one",
            hint="--stages 3, or --epochs for the training at the end",
        )
    idle = (("--stage-epochs", stages.stage_epochs, 0), ("--teacher", training.teacher, ORIGINAL))
    for option, value, default in idle:
        if value != default and not training.enabled:
            raise UsageError("E201", f"{option} {value} is for training, and --no-distill leaves it out")


def check_searching(
    options: CompressOptions, cost_model: CostModel, parts: Parts, sha256: dict[str, Any]
) -> None:
    """Whether the agent can search, where one is to.

    Raises:
        UsageError: E201, E202, an option that the agent does not have, or a value that it refuses.
        RuntimeProblem: E603, it or its scheduler needs a package that is not there.
        DataError: E504, too few samples.
    """
    agent = asked_agent(options, parts).agent
    if agent == NONE:
        return
    wanted = search_options(options, agent)
    require_packages(wanted)
    check_search(wanted, opened_for(cost_model, parts, sha256))


def named(options: CompressOptions) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Options that name something, with all that they may name."""
    yield "--criterion", options.prune.criterion, ("auto", *CRITERIA)
    yield "--allocation", options.prune.allocation, ("auto", *ALLOCATIONS)
    yield "--agent", options.search.agent, ("auto", NONE, *AGENTS)
    yield "--reconstruct-method", options.reconstruct.method, METHODS
    yield "--teacher", options.distill.teacher, TEACHERS


def check_reach(options: CompressOptions, groups: Groups) -> None:
    """Whether the target can be met, as far as it needs no measuring, and is by masks that are given.

    Raises:
        TargetError: E701, no masks meet it; E702, those that are given do not.
        UsageError: E206, they cannot be read, or are of another model; E201, more stages than steps to go.
    """
    asked = prune_options(options, options.prune.criterion)
    if options.masks is not None:
        require_met(load_masks(Path(options.masks), groups), groups, asked.target)
    require_reachable(CostModel(groups), target=asked.target.counted, constraints=asked.constraints)
    finest, stages = asked.constraints.finest(), options.stages.count
    steps = sum(len(finest.rungs(group)) - 1 for group in groups.prunable)
    if stages > max(1, steps):
        raise UsageError(
            "E201",
            f"--stages {stages}: the model can lose channels {steps} times at most, at {finest}",
            hint="fewer stages; two to five are usual",
        )


def check_parts(metric: Metric, parts: Parts, graph: Graph) -> None:
    """Whether every part has rows, and those that are judged on have the labels that the metric needs.

    Raises:
        DataError: E504, too few samples, or no labels; E503, labels that are no classes, or an output that
            has not one row a sample.
    """
    require_rows(
        {"fit": parts.fit, "search": parts.search, "test": parts.test},
        shares="fit, search and test take a half, a quarter and a quarter of undivided samples",
    )
    for name, samples in (("search", parts.search), ("test", parts.test)):
        require_labels(metric, samples, name, graph)


def check_distinct(options: CompressOptions, inputs: Mapping[str, Any]) -> None:
    """Raises: DataError: E504, the samples for the test are those to learn and choose by, in another file."""
    same = inputs["test"] is not None and inputs["test"] == inputs["data"]
    if same and options.test != options.data:
        raise DataError(
            "E504",
            f"--test {options.test} holds the same as --data {options.data}",
            hint="leave --test out: a part of the samples is then kept for the test",
        )

"""What a compression asks of the search: the agent, its options, and the samples that the run has open."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from onnxprune.agents.table import AGENTS
from onnxprune.compression.inputs import Parts
from onnxprune.compression.options import CompressOptions
from onnxprune.cost import CostModel
from onnxprune.runs.parts import FitAndSearch
from onnxprune.search import Opened, SearchOptions
from onnxprune.search.agents import missing_packages
from onnxprune.search.options import ChannelSettings, EvaluateSettings, LatencySettings

NONE = "none"
PREFERRED = ("gat-ppo", "greedy")  # by falling promise; the last needs nothing
LEAST_ROWS = 2  # one to judge by, one to compare the best on


@dataclass(frozen=True)
class Asked:
    """Who chooses the masks.

    Attributes:
        agent: A name of `AGENTS`, or none: criterion and allocation alone.
        why: Where it is not the preferred one, the reason.
        limits: That reason is worth a warning.
    """

    agent: str
    why: str = ""
    limits: bool = False


def asked_agent(options: CompressOptions, parts: Parts) -> Asked:
    """As asked, or the most promising that there is."""
    agent, given = options.search.agent, chosen_otherwise(options)
    if given:
        return Asked(NONE, given)
    if agent != "auto":
        return Asked(agent, "not asked for" if agent == NONE else "")
    if options.search.init_policy is not None:
        return Asked(PREFERRED[0])  # no other could begin with it
    rows = parts.search.count
    if rows is not None and rows < LEAST_ROWS:
        return Asked(NONE, f"the search part has only {rows} samples", limits=True)
    missing = {name: missing_packages(AGENTS[name]) for name in PREFERRED}
    found = next(name for name in PREFERRED if not missing[name])
    if found == PREFERRED[0]:
        return Asked(found)
    lacking = " and ".join(missing[PREFERRED[0]])
    why = (
        f"W603: {found} searches, because {PREFERRED[0]} needs {lacking}, not installed here "
        '(pip install "onnxprune[agents]")'
    )
    return Asked(found, why, limits=True)


def chosen_otherwise(options: CompressOptions) -> str:
    """Why no agent is needed; empty where one may be."""
    if options.masks is not None:
        return f"the masks {options.masks} are applied"
    if options.search.agent == "auto" and options.prune.allocation != "auto":
        return f"the allocation {options.prune.allocation} was asked for"
    return ""


def search_options(options: CompressOptions, agent: str) -> SearchOptions:
    """What the search is asked for: the same channels and samples as the whole run."""
    settings, prune = options.search, options.prune
    channels = ChannelSettings(**{one.name: getattr(prune, one.name) for one in fields(ChannelSettings)})
    apart = options.test is not None and options.test != options.data
    return SearchOptions(
        options.model,
        options.data,
        options.target,
        agent=agent,
        agent_option=settings.agent_option,
        variant=settings.variant,
        reward=settings.reward,
        init_policy=settings.init_policy,
        freeze_encoder=settings.freeze_encoder,
        prior=prune.criterion,
        evaluations=settings.evaluations,
        batch=settings.batch,
        budget=settings.budget,
        seed=options.seed,
        workers=settings.workers,
        scheduler=settings.scheduler,
        map=options.map,
        samples=options.samples,
        holdout=not apart,
        shape=options.shape,
        channels=channels,
        evaluate=EvaluateSettings(
            metric=options.measure.metric,
            repair=repair_of(options),
            reward_rows=settings.reward_rows,
            calibration_rows=settings.calibration_rows,
            race=settings.race,
        ),
        latency=LatencySettings(options.measure.threads, cache=options.measure.latency_cache),
        images=options.images,
    )


def repair_of(options: CompressOptions) -> str:
    """How candidates are repaired: as the result will be; training wins back at least what a repair does."""
    if options.reconstruct.enabled:
        return options.reconstruct.method
    return "least-squares" if options.distill.enabled else "none"


def opened_for(
    cost_model: CostModel, parts: Parts, sha256: Mapping[str, Any], floors: Mapping[str, int] | None = None
) -> Opened:
    """What the run has open; the test part is not handed on."""
    own = {name: sha256.get(name) for name in ("model", "data", "init_policy")}
    samples = FitAndSearch(parts.fit, parts.search, parts.told)
    return Opened(cost_model.groups, samples, own, cost_model, floors or {})

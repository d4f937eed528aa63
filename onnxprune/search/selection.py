"""The end of a search: the best few on samples that no candidate was chosen by, and the winner."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from onnxprune.agents.space import Space
from onnxprune.agents.types import Agent, Problem
from onnxprune.cost import Cost
from onnxprune.data import Samples
from onnxprune.environment.rewards import violation
from onnxprune.errors import DataError, OnnxPruneError, TargetError
from onnxprune.latency import (
    Confirmed,
    RuntimeWatch,
    Stopwatch,
    TimedCostModel,
    choose_confirmed,
    confirm,
)
from onnxprune.masks import Masks, masks_hash
from onnxprune.measurement import MeasureOptions, SessionSettings, make_session, measure
from onnxprune.reconstruction import reconstruct
from onnxprune.search.history import Episode, History, Scored, unpack
from onnxprune.search.inputs import CALIBRATION_BATCH, Inputs, prune_options
from onnxprune.search.scoring import NO_LEVEL, Score
from onnxprune.target.bounds import LATENCY

BEST = 5  # episodes that are compared, beside what the agent proposes
CUT = 2  # finalists that are cut further at most, where they take too long

ScoreOne = Callable[[Masks], Scored]


def figure_of(accuracy: float | None, sign: int) -> float | None:
    """An accuracy as its metric counts; a zero without a sign."""
    return None if accuracy is None else sign * accuracy + 0.0


@dataclass(frozen=True, eq=False)
class Finalist:
    """A candidate for the result.

    Attributes:
        masks: Of all prunable groups.
        note: How the agent came to it.
        episode: Its number; None for what the agent proposed at the end.
        cost, violation: As in `Outcome`; the latency as it was measured, where it is bounded.
        reward: Accuracy on the reward split, larger is better; None where scoring failed.
        selection: On the selection split.
        confirmed: What was measured, where the latency is bounded.
    """

    masks: Masks
    note: str
    episode: int | None
    cost: Cost
    violation: float
    reward: float | None
    selection: float | None
    confirmed: Confirmed | None = None

    def worth(self) -> tuple[bool, float, float]:
        """What is compared: the target met, accuracy on the selection split, then on the reward split."""
        low = float("-inf")
        selection = low if self.selection is None else self.selection
        reward = low if self.reward is None else self.reward
        feasible = self.violation == 0
        return feasible, selection if feasible else -self.violation, reward if feasible else selection


@dataclass(frozen=True)
class Selection:
    """All finalists, the best first."""

    finalists: tuple[Finalist, ...]

    @property
    def best(self) -> Finalist:
        return self.finalists[0]


@dataclass(frozen=True)
class Judges:
    """What finalists are judged by.

    Attributes:
        reward: Scores on the reward split, for proposals that were not tried.
        selection: Scores on the selection split.
        watch: Measures latencies; None where the target bounds none.
    """

    reward: ScoreOne
    selection: ScoreOne
    watch: Stopwatch | None = None


def select(problem: Problem, agent: Agent, history: History, judges: Judges) -> Selection:
    """Compare what the agent proposes now and the best of what it tried on other samples.

    Where the latency is bounded all of them are measured beside the original. What is best but takes too long
    is cut further, until it was measured to meet the target.

    Raises:
        DataError: E506, no candidate could be scored.
    """
    found = []
    for masks, note, episode in proposals(problem, agent, history):
        own = judges.reward(masks).accuracy if episode is None else episode.accuracy
        number = None if episode is None else episode.number
        cost = problem.cost_model.count(masks)
        over = violation(cost, target=problem.target, whole=problem.whole)
        found.append(Finalist(masks, note, number, cost, over, own, judges.selection(masks).accuracy))
    scored = [finalist for finalist in found if finalist.selection is not None]
    if not scored:
        raise DataError(
            "E506",
            "no candidate could be scored on the selection split",
            hint="look at the warnings above; --resume tries again",
        )
    if judges.watch is not None:
        scored = measured(problem, scored, judges, judges.watch)
    return Selection(tuple(sorted(scored, key=Finalist.worth, reverse=True)))


def measured(
    problem: Problem, finalists: Sequence[Finalist], judges: Judges, watch: Stopwatch
) -> list[Finalist]:
    """The finalists with their latency, and what was made of those that are better than any that meets it."""
    found = confirm([finalist.masks for finalist in finalists], problem.target, watch)
    known = [confirmed_by(problem, *pair) for pair in zip(finalists, found, strict=True)]
    by_figure = sorted(known, key=lambda f: f.selection or 0.0, reverse=True)
    missing = list(takewhile(lambda finalist: finalist.violation > 0, by_figure))[:CUT]
    cut = (cut_further(problem, finalist, judges, watch) for finalist in missing)
    return [*known, *(finalist for finalist in cut if finalist is not None)]


def confirmed_by(problem: Problem, finalist: Finalist, found: Confirmed) -> Finalist:
    """The same, its violation by what was measured."""
    over = violation(
        finalist.cost,
        target=problem.target.counted,
        whole=problem.whole,
        measured={LATENCY: 1.0 if found.met else found.excess},
    )
    return replace(finalist, violation=over, confirmed=found)


def cut_further(problem: Problem, finalist: Finalist, judges: Judges, watch: Stopwatch) -> Finalist | None:
    """Masks of the same shares of the groups that were measured to meet the target; None where none were."""
    assert isinstance(problem.cost_model, TimedCostModel)

    def choose(model: TimedCostModel) -> Masks:
        space = Space.of(replace(problem, cost_model=model))
        return space.masks(space.ratios(finalist.masks), space.ranks_of(finalist.masks))

    try:
        choice = choose_confirmed(choose, problem.cost_model, problem.target, watch)
    except TargetError:
        return None
    if masks_hash(choice.masks) == masks_hash(finalist.masks):
        return None
    made = Finalist(
        choice.masks,
        f"{finalist.note}, cut further to the latency that was measured",
        None,
        choice.cost_model.count(choice.masks),
        0.0,
        judges.reward(choice.masks).accuracy,
        judges.selection(choice.masks).accuracy,
    )
    return None if made.selection is None else confirmed_by(problem, made, choice.confirmed)


def watch_of(inputs: Inputs) -> Stopwatch | None:
    """What measures latencies; None where the target bounds none."""
    asked = prune_options(inputs.options)
    return RuntimeWatch(inputs.groups, asked.latency) if asked.target.times else None


def proposals(
    problem: Problem, agent: Agent, history: History
) -> Iterator[tuple[Masks, str, Episode | None]]:
    """Masks to compare, each once: the best episodes, then what the agent would choose now."""
    seen = set[str]()
    for episode in history.top(BEST):
        seen.add(episode.masks)
        yield unpack(episode.bits, problem.order), episode.note, episode
    for candidate in agent.final():
        key = masks_hash(candidate.masks)
        if key in seen:
            continue
        seen.add(key)
        known = history.known.get(key)
        whole = known if known is not None and known.rows >= history.rows else None
        yield candidate.masks, candidate.note or "the agent's proposal", whole


def fully_repaired(inputs: Inputs, samples: Samples) -> ScoreOne:
    """Scores with the full repair on the calibration samples, instead of the light one."""
    groups, metric = inputs.groups, inputs.metric
    settings = SessionSettings("cpu", external_folder=groups.graph.path.parent)
    original = make_session(groups.graph.path, SessionSettings("cpu"))

    def score(masks: Masks) -> Scored:
        try:
            feeds = (batch.inputs for batch in inputs.calibration.batches(CALIBRATION_BATCH))
            model = reconstruct(groups, masks, feeds)
            session = make_session(model.SerializeToString(), settings, name=groups.graph.path.name)
            found = measure(session, samples, options=MeasureOptions((metric.name,)), reference=original)
        except Exception as error:  # noqa: BLE001 - metrics of the user may raise anything
            return Scored(None, 0, told(error))
        return Scored(metric.sign * found.metrics[metric.name], found.samples)

    return score


def one_by(score: Score) -> ScoreOne:
    """The same for single masks, on all rows."""

    def scoring(masks: Masks) -> Scored:
        (scored,) = score([masks], NO_LEVEL)
        return scored

    return scoring


def told(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OnnxPruneError):
        return f"{error.code}: {error.message}" + (f" ({error.cause})" if error.cause else "")
    return f"{type(error).__name__}: {error}".splitlines()[0]


def warned(score: ScoreOne, warn: Callable[[str], None]) -> ScoreOne:
    """The same score, its failures told."""

    def scoring(masks: Masks) -> Scored:
        scored = score(masks)
        if scored.error:
            warn(f"W506: a candidate could not be scored at the end: {scored.error}")
        return scored

    return scoring

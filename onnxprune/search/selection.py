"""The end of a search: the best few on samples that no candidate was chosen by, and the winner."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnxprune.agents.types import Agent, Problem
from onnxprune.cost import Cost
from onnxprune.data import Samples
from onnxprune.environment.rewards import violation
from onnxprune.errors import DataError, OnnxPruneError
from onnxprune.masks import Masks, masks_hash
from onnxprune.measurement import MeasureOptions, SessionSettings, make_session, measure
from onnxprune.reconstruction import reconstruct
from onnxprune.search.history import Episode, History, Scored, unpack
from onnxprune.search.inputs import CALIBRATION_BATCH, Inputs
from onnxprune.search.scoring import NO_LEVEL, Score

BEST = 5  # episodes that are compared, beside what the agent proposes

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
        cost, violation: As in `Outcome`.
        reward: Accuracy on the reward split, larger is better; None where scoring failed.
        selection: On the selection split.
    """

    masks: Masks
    note: str
    episode: int | None
    cost: Cost
    violation: float
    reward: float | None
    selection: float | None

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


def select(
    problem: Problem, agent: Agent, history: History, *, reward: ScoreOne, selection: ScoreOne
) -> Selection:
    """Compare what the agent proposes now and the best of what it tried on other samples.

    Args:
        problem, agent, history: Of the search.
        reward: Scores on the reward split, for proposals that were not tried.
        selection: Scores on the selection split.

    Raises:
        DataError: E506, no candidate could be scored.
    """
    found = []
    for masks, note, episode in proposals(problem, agent, history):
        cost = problem.cost_model.count(masks)
        own = reward(masks).accuracy if episode is None else episode.accuracy
        found.append(
            Finalist(
                masks,
                note,
                None if episode is None else episode.number,
                cost,
                violation(cost, target=problem.target, whole=problem.whole),
                own,
                selection(masks).accuracy,
            )
        )
    scored = [finalist for finalist in found if finalist.selection is not None]
    if not scored:
        raise DataError(
            "E506",
            "no candidate could be scored on the selection split",
            hint="look at the warnings above; --resume tries again",
        )
    return Selection(tuple(sorted(scored, key=Finalist.worth, reverse=True)))


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

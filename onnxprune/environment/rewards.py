"""What masks are worth to an agent: accuracy against its own recent past, infeasible ones below all others.

With the violation v of the worst bound and the accuracy a in percent:

    v <= 0.005    R = tanh((a - a_ref) / delta) + 0.5 [a > a_best]      in [-1, 1.5]
    else          R = -1 - v / (v + 0.1)                                in [-2, -1.047]

a_ref is the 75th percentile of the last 64 feasible accuracies, delta = max(0.5, their standard deviation),
a_best the best feasible one. So every feasible mask is above every infeasible one, and the bar rises with
the agent. The idea, an agent that competes with its own history in place of Lagrange multipliers, is that
of Mandhane et al., MuZero with self-competition for rate control, 2022 (arXiv 2202.06626). The kinds:

    percentile   as above
    record       a_ref = a_best
    r2           the sign of a - a_ref in place of the first line: ranked reward, Laterre et al., 2018
                 (arXiv 1807.01672), with 0 where both are equal
    ema          signs only: v against its moving average where either is infeasible, else a against its own
                 (Mandhane et al.); knows no law of order
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import Cost
from onnxprune.errors import UsageError
from onnxprune.target import Target

Floats = NDArray[np.float64]
State = dict[str, Any]
Kind = Literal["percentile", "record", "r2", "ema"]
FEASIBLE = 0.005  # largest violation that counts as none: measured bounds are noisy
FAILED = -2.0  # of masks that could not be scored
RECORD = 0.5  # what a new best adds
LEAST_SPREAD = 0.5  # of delta, in the unit of the scaled accuracies
WILD = 1.0  # largest violation in an average: one wild mask must not blind it for long
SOFTNESS = 0.1  # violation that costs half of what an infinite one does


def violation(
    cost: Cost, *, target: Target, whole: Cost, measured: Mapping[str, float] | None = None
) -> float:
    """By how much the worst bound is exceeded, as a share of it: max over k of max(0, F_k / B_k - 1).

    >>> from onnxprune.target import parse_target
    >>> target = parse_target(["macs=50%", "params=50%"])
    >>> round(violation(Cost(60, 40, 160), target=target, whole=Cost(100, 100, 400)), 3)
    0.2

    Args:
        cost: Of the pruned model.
        target: Upper bounds.
        whole: The cost of the original.
        measured: F / B of what is not counted but measured, such as latency, by name.

    Returns:
        0 where all bounds hold; infinite where a bound is zero and the cost is not, or a ratio is no number.
    """
    limits = target.limits(whole)
    ratios = [ratio(getattr(cost, name), limit) for name, limit in limits.items()]
    ratios += [value if math.isfinite(value) else math.inf for value in (measured or {}).values()]
    return max(0.0, *(value - 1 for value in ratios)) if ratios else 0.0


def ratio(cost: int, limit: int) -> float:
    if limit > 0:
        return cost / limit
    return 1.0 if cost <= limit else math.inf


@dataclass
class Memory:
    """What is remembered of the masks so far, accuracies as they were told.

    Attributes:
        recent: The last feasible accuracies.
        best: The best feasible accuracy.
        average: Moving average of the feasible accuracies.
        excess: Moving average of the violations.
    """

    recent: deque[float]
    best: float | None = None
    average: float | None = None
    excess: float | None = None


@dataclass(frozen=True)
class Yardstick:
    """What one batch is measured with.

    Attributes:
        recent: (N,) scaled accuracies.
        best: Scaled, the one to beat; None where there is none yet.
        average: Scaled.
        excess: A violation.
    """

    recent: Floats = field(repr=False)
    best: float | None
    average: float
    excess: float

    @property
    def spread(self) -> float:
        """The difference in accuracy that counts."""
        return max(LEAST_SPREAD, float(self.recent.std())) if len(self.recent) else LEAST_SPREAD


class SelfCompetition:
    """Rewards that compare an agent with its own past.

        compete = SelfCompetition("percentile")
        rewards = compete.rewards([0.71, 0.74, None], [0.0, 0.0, 0.0])

    Args:
        kind: "percentile", "record", "r2" or "ema"; see the module.
        scale: What makes percent of the accuracies; for another metric, what makes 0.5 the least difference
            that counts.
        percentile: Of the recent accuracies, for "percentile" and "r2".
        window: How many feasible accuracies are recent.
        soft: The constraint is another's business (a multiplier, a penalty): infeasible masks are judged by
            their accuracy and remembered too. A record is set by feasible ones only.

    Raises:
        UsageError: E201, a value out of its range or unknown.
    """

    def __init__(
        self,
        kind: Kind = "percentile",
        *,
        scale: float = 100.0,
        percentile: float = 75.0,
        window: int = 64,
        soft: bool = False,
    ) -> None:
        if kind not in get_args(Kind):
            raise UsageError(
                "E201", f"unknown reward {kind!r}", hint=f"there are {', '.join(get_args(Kind))}"
            )
        if not (0 <= percentile <= 100 and window >= 1 and 0 < scale < math.inf):
            raise UsageError("E201", f"reward: {percentile=}, {window=}, {scale=} are out of range")
        self.kind = kind
        self.scale = scale
        self.percentile = percentile
        self.soft = soft
        self._memory = Memory(deque(maxlen=window))

    @property
    def best(self) -> float | None:
        """The best feasible accuracy so far."""
        return self._memory.best

    def reward(self, accuracy: float | None, violation: float) -> float:
        """The reward of one mask; it is remembered."""
        return self.rewards([accuracy], [violation])[0]

    def rewards(self, accuracies: Sequence[float | None], violations: Sequence[float]) -> list[float]:
        """The rewards of a batch, judged against what was before it; then it is remembered.

        The very first feasible ones are judged against each other, without a record to beat.

        Args:
            accuracies: Larger is better; None or NaN where scoring failed.
            violations: Not below zero, of the same masks.

        Returns:
            Numbers in [-2, 1.5]; -2 where scoring failed, which is not remembered.
        """
        batch = [usable(a, v) for a, v in zip(accuracies, violations, strict=True)]
        yardstick = self._yardstick([scored for scored in batch if scored is not None])
        judged = [FAILED if scored is None else self._judge(*scored, yardstick) for scored in batch]
        for scored in batch:
            if scored is not None:
                self._remember(*scored)
        return judged

    def _yardstick(self, batch: list[tuple[float, float]]) -> Yardstick:
        memory = self._memory
        recent = memory.recent or [a for a, v in batch if self._counts(v)]
        values = np.asarray(recent, np.float64) * self.scale
        return Yardstick(
            values,
            best=None if memory.best is None else memory.best * self.scale,
            average=mean(values) if memory.average is None else memory.average * self.scale,
            excess=mean([min(v, WILD) for _, v in batch]) if memory.excess is None else memory.excess,
        )

    def _judge(self, accuracy: float, violation: float, yardstick: Yardstick) -> float:
        if self.kind == "ema" and not self.soft and max(violation, yardstick.excess) > FEASIBLE:
            return sign(yardstick.excess - violation)
        if not self._counts(violation):
            return infeasible(violation)
        value = accuracy * self.scale
        record = yardstick.best is not None and value > yardstick.best and violation <= FEASIBLE
        return QUALITIES[self.kind](value, yardstick, self.percentile, record)

    def _counts(self, violation: float) -> bool:
        """Whether a mask is judged by its accuracy."""
        return self.soft or violation <= FEASIBLE

    def _remember(self, accuracy: float, violation: float) -> None:
        memory = self._memory
        memory.excess = follow(memory.excess, min(violation, WILD))
        if self._counts(violation):
            memory.recent.append(accuracy)
            memory.average = follow(memory.average, accuracy)
        if violation <= FEASIBLE and (memory.best is None or accuracy > memory.best):
            memory.best = accuracy

    def state(self) -> State:
        """All that `restore` needs, in plain numbers and lists."""
        return asdict(self._memory) | {"recent": list(self._memory.recent)}

    def restore(self, state: State) -> None:
        """Go on from such a state bit for bit, in place."""
        recent = deque(state["recent"], maxlen=self._memory.recent.maxlen)
        self._memory = Memory(recent, state["best"], state["average"], state["excess"])


def usable(accuracy: float | None, violation: float) -> tuple[float, float] | None:
    """Both as plain numbers; None where the mask could not be scored."""
    if accuracy is None or not math.isfinite(accuracy) or math.isnan(violation):
        return None
    return float(accuracy), max(0.0, float(violation))


def infeasible(violation: float) -> float:
    """-1 - v / (v + 0.1), -2 for an infinite violation."""
    return -2.0 if math.isinf(violation) else -1 - violation / (violation + SOFTNESS)


def follow(average: float | None, value: float, *, decay: float = 0.9) -> float:
    """An exponential moving average, begun at its first value."""
    return value if average is None else decay * average + (1 - decay) * value


def mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def sign(value: float) -> float:
    return float(np.sign(value))


def soft_step(value: float, reference: float, yardstick: Yardstick, record: bool) -> float:
    return math.tanh((value - reference) / yardstick.spread) + RECORD * record


def against_percentile(value: float, yardstick: Yardstick, percentile: float, record: bool) -> float:
    reference = float(np.percentile(yardstick.recent, percentile))
    return soft_step(value, reference, yardstick, record)


def against_record(value: float, yardstick: Yardstick, _percentile: float, record: bool) -> float:
    best = yardstick.best
    reference = float(yardstick.recent.max()) if best is None else best
    return soft_step(value, reference, yardstick, record)


def ranked(value: float, yardstick: Yardstick, percentile: float, _record: bool) -> float:
    return sign(value - float(np.percentile(yardstick.recent, percentile)))


def against_average(value: float, yardstick: Yardstick, _percentile: float, _record: bool) -> float:
    return sign(value - yardstick.average)


QUALITIES: dict[str, Callable[[float, Yardstick, float, bool], float]] = {
    "percentile": against_percentile,
    "record": against_record,
    "r2": ranked,
    "ema": against_average,
}

"""Bounds on the latency, judged by the whole model: measured beside the original, whatever a table says.

Where a bound is missed the table promised too much. It is bent so that it gives what was measured of these
masks, still gives the original's latency for the original, and the masks are chosen again; where they then
give more than is asked, once more in between. So whoever uses the cost model, a projection or an agent, heeds
what was measured, and the target stays as it was asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from onnxprune.cost import Cost
from onnxprune.errors import TargetError
from onnxprune.latency.model import TimedCostModel
from onnxprune.latency.stopwatch import NS, Beside, Stopwatch
from onnxprune.masks import Masks, masks_hash
from onnxprune.target import Target, verdicts
from onnxprune.target.bounds import LATENCY, Bound

ROUNDS = 5
CLOSE = 0.97  # of what the tightest bound allows: nearer is not worth another round
LEAST_BEND = 0.25  # of a table at once: one measurement is not so sure
MARGIN = 0.97  # for what a bent table still promises too much


@dataclass(frozen=True)
class Confirmed:
    """What was measured of masks, and whether the bounds on the latency hold.

    Attributes:
        beside: The pruned model beside the original.
        excess: Latency as a part of what the tightest bound allows; above 1 it is over.
    """

    beside: Beside
    excess: float

    @property
    def noise(self) -> float:
        """What the original takes as a part of itself, where that is most."""
        return max(1.0, self.beside.control.high)

    @property
    def met(self) -> bool:
        """Whether every bound holds, as far as the noise lets one tell."""
        return self.excess <= self.noise

    def __str__(self) -> str:
        beside, control = self.beside, self.beside.control
        text = (
            f"{beside.latency_ms:.4g} ms, {100 * beside.ratio:.1f} % of the original's "
            f"{beside.original_ms:.4g} ms by the {beside.clock} clock on {beside.provider} "
            f"(A/A control {control.low:.2f} to {control.high:.2f})"
        )
        return f"{text}; within the noise" if self.met and self.excess > 1 else text

    def to_json(self) -> dict[str, Any]:
        beside = self.beside
        return {
            "latency_ms": beside.latency_ms,
            "original_ms": beside.original_ms,
            "ratio": beside.ratio,
            "control": vars(beside.control),
            "provider": beside.provider,
            "clock": beside.clock,
            "runs": beside.runs,
            "excess": self.excess,
            "met": self.met,
        }


@dataclass(frozen=True)
class Choice:
    """Masks, the cost model that they were chosen with, and what was measured of them."""

    masks: Masks
    cost_model: TimedCostModel
    confirmed: Confirmed

    def worth(self) -> tuple[bool, float]:
        """What is compared: the bounds met, then the most of what they allow; else the least over them."""
        met, excess = self.confirmed.met, self.confirmed.excess
        return met, excess if met else -excess


def confirm(masks: Sequence[Masks], target: Target, watch: Stopwatch) -> list[Confirmed]:
    """Measure masks beside the original, all in one interleaved run.

    Args:
        masks: At least one.
        target: With at least one bound on the latency.
        watch: Who measures.
    """
    bounds = [bound for bound in target.bounds if bound.quantity == LATENCY]
    return [
        Confirmed(beside, max(share_of(bound, beside) for bound in bounds)) for beside in watch.beside(masks)
    ]


def judged(
    target: Target, before: Cost, after: Cost, confirmed: Confirmed | None = None
) -> list[dict[str, Any]]:
    """Each bound: what was asked, what was reached, whether it holds; the latency as it was measured.

    Args:
        target: What was asked.
        before, after: Costs of the original and of the pruned model.
        confirmed: What was measured; needed where the latency is bounded.
    """
    return [
        measured_verdict(bound, confirmed)
        if confirmed is not None and bound.quantity == LATENCY
        else verdicts(Target((bound,)), before, after)[0]
        for bound in target.bounds
    ]


def measured_verdict(bound: Bound, confirmed: Confirmed) -> dict[str, Any]:
    beside, excess = confirmed.beside, share_of(bound, confirmed.beside)
    whole = beside.original_ms * NS if bound.relative else 1
    return {
        "target": str(bound),
        "limit": round(float(bound.amount) * whole),
        "reached": round(beside.latency_ms * NS),
        "share": beside.ratio,
        "met": excess <= confirmed.noise,
        "within_noise": 1 < excess <= confirmed.noise,
        "measured": str(confirmed),
    }


def share_of(bound: Bound, beside: Beside) -> float:
    """The latency as a part of what a bound allows."""
    if bound.relative:
        return beside.ratio / float(bound.amount)
    return beside.latency_ms * NS / float(bound.amount)


def choose_confirmed(
    choose: Callable[[TimedCostModel], Masks],
    cost_model: TimedCostModel,
    target: Target,
    watch: Stopwatch,
    *,
    tell: Callable[[str], None] = lambda _text: None,
) -> Choice:
    """Masks that were measured to meet the target, or those that came nearest.

    Args:
        choose: Masks within the target by a cost model.
        cost_model: To begin with.
        target: With at least one bound on the latency.
        watch: Who measures.
        tell: Called with what was measured of masks that miss it.

    Raises:
        TargetError: E701, no masks meet the target even by the table that there is at first.
    """
    tried: list[Choice] = []
    scales = Scales()
    for _ in range(ROUNDS):
        model = TimedCostModel(cost_model.groups, cost_model.table.scaled(scales.next))
        try:
            masks = choose(model)
        except TargetError:
            if not tried:
                raise
            scales.retreat()
            continue
        if masks_hash(masks) in {masks_hash(choice.masks) for choice in tried}:
            break
        (found,) = confirm([masks], target, watch)
        tried.append(Choice(masks, model, found))
        if not found.met:
            tell(f"measured {found}: over {target}; the masks are chosen again")
        if scales.judge(found, bend(model, masks, found, target)):
            break
    return max(tried, key=Choice.worth)


@dataclass
class Scales:
    """What the part of a table that masks change is multiplied with: the next to try, and what was tried.

    Attributes:
        next: To try.
        over: The least under which a bound was missed.
        under: The largest under which all were met, or no masks were left to meet them.
    """

    next: float = 1.0
    over: float | None = None
    under: float | None = None

    def judge(self, found: Confirmed, factor: float) -> bool:
        """Whether it is enough; else `next` is another, in place.

        Args:
            found: What was measured under `next`.
            factor: That bends the table to it.
        """
        if found.met:
            if self.over is None or found.excess >= CLOSE:
                return True
            self.under = self.next
        else:
            self.over = self.next
            self.next *= MARGIN * min(max(factor, LEAST_BEND), 1.0)
        self._between()
        return False

    def retreat(self) -> None:
        """`next` left no masks: another, in place."""
        self.under = self.next
        self._between()

    def _between(self) -> None:
        if self.under is not None and self.over is not None:
            self.next = sqrt(self.under * self.over)


def bend(cost_model: TimedCostModel, masks: Masks, found: Confirmed, target: Target) -> float:
    """The factor under which the table gives what was measured of these masks; not below 0."""
    original, given = cost_model.table.original_ns, cost_model.count(masks).latency_ns
    measured = found.excess * target.limits(cost_model.count({}))[LATENCY]
    return float(max(0.0, original - measured) / max(1, original - given))

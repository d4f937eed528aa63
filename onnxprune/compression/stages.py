"""The stages of a compression, and what each is to reach: the target is come down to in steps.

A stage searches, prunes, repairs and trains the model that the stage before left. Its bounds lie between the
original's cost and the target so that each stage takes away the same share of what is left: with the limit L
of a quantity that is C in the original, stage k of n may leave C (L / C)^(k / n). Even shares of the original
would let the last stage, whose model has least to spare, take the largest part of what it finds: of three
stages to 10 %, the first would leave 70 % of its model, the last 25 %; so each leaves 46 %. The last one's
bounds are the target itself.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from onnxprune.compression.files import STAGES
from onnxprune.compression.options import CompressOptions
from onnxprune.cost import Cost
from onnxprune.target import Target, parse_target
from onnxprune.target.bounds import LATENCY, Bound, texts_of

LEFT = ("final.onnx", "masks.json", "choice.json", "prune.json")  # what a stage leaves to later ones


@dataclass(frozen=True)
class Stage:
    """One of them.

    Attributes:
        number: Counted from 1.
        count: Of all stages.
    """

    number: int = 1
    count: int = 1

    @property
    def last(self) -> bool:
        return self.number == self.count

    @property
    def folder(self) -> str:
        """Of its files below the run's, with a slash at the end; "" for the last: they are the run's own."""
        return "" if self.last else f"{STAGES}/{self.number}/"

    @property
    def earlier(self) -> tuple["Stage", ...]:
        return tuple(Stage(number, self.count) for number in range(1, self.number))

    @property
    def reads(self) -> tuple[str, ...]:
        """Files of earlier stages."""
        return tuple(stage.folder + name for stage in self.earlier for name in LEFT)

    def options(self, options: CompressOptions, whole: Cost) -> CompressOptions:
        """What the stage is asked for; of the last one, what the run is.

        Args:
            options: Of the run.
            whole: Cost of the original.
        """
        if self.last:
            return options
        epochs = options.stages.stage_epochs
        training = replace(options.distill, enabled=bool(epochs), epochs=epochs)
        target = between(parse_target(options.target), whole, Fraction(self.number, self.count))
        return replace(options, target=texts_of(target), distill=training)


def stages_of(count: int) -> tuple[Stage, ...]:
    """So many, in their order."""
    return tuple(Stage(number, count) for number in range(1, count + 1))


def between(target: Target, whole: Cost, part: Fraction) -> Target:
    """Bounds on the way to a target, in the original's cost.

    >>> str(between(parse_target(["macs=25%"]), Cost(macs=1000, params=10, bytes=40), Fraction(1, 2)))
    'macs=500'

    Args:
        target: Upper bounds.
        whole: Cost of the original.
        part: How far on the way, in the logarithm: 0 is the original, 1 the target.
    """
    bounds = []
    for quantity, limit in target.limits(whole).items():
        original = getattr(whole, quantity)
        share = (min(limit, original) / original) ** float(part) if original else 1.0
        if quantity == LATENCY:
            bounds.append(Bound(quantity, Fraction(share), relative=True))
        else:
            bounds.append(Bound(quantity, Fraction(max(limit, floor(original * share))), relative=False))
    return Target(tuple(bounds))


def on_base(target: Target, whole: Cost, ratio: float) -> Target:
    """The same bounds for a model that was pruned before.

    What is counted has the same limit there. A share of the original's latency is another share of that
    model's; both are measured beside each other, so that the shares say more than the times.

    Args:
        target: In terms of the original.
        whole: Cost of the original.
        ratio: Latency of the pruned model as a share of the original's.
    """
    bounds = [Bound(q, Fraction(n), relative=False) for q, n in target.counted.limits(whole).items()]
    for bound in target.bounds:
        if bound.quantity == LATENCY:
            amount = min(Fraction(1), bound.amount / Fraction(ratio)) if bound.relative else bound.amount
            bounds.append(replace(bound, amount=amount))
    return Target(tuple(bounds))

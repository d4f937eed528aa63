"""What a user asks for: upper bounds on the cost, relative to the original or absolute."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from onnxprune.cost import Cost
from onnxprune.errors import UsageError

LATENCY = "latency_ns"
NAMES = {"latency": LATENCY}  # what a user calls it, where that is not what a cost calls it
COUNTS = {"k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
SIZES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
TIMES = {"us": 10**3, "ms": 10**6, "s": 10**9}
UNITS = {"macs": COUNTS, "params": COUNTS, "bytes": SIZES, "latency": TIMES}
THOUSANDS = {"macs": "K", "params": "K", "bytes": "KB", "latency": "us"}
EXAMPLES = {"macs": "20M", "params": "1.2M", "bytes": "600KiB", "latency": "4ms"}
FORM = re.compile(r"\s*(?P<quantity>[a-z_]+)\s*=\s*(?P<amount>\d+\.?\d*|\.\d+)\s*(?P<unit>%|[a-z]*)\s*")


@dataclass(frozen=True)
class Bound:
    """One upper bound.

    Attributes:
        quantity: "macs", "params", "bytes" (of the weights) or "latency_ns".
        amount: A fraction of the original where `relative`, else the number itself.
    """

    quantity: str
    amount: Fraction
    relative: bool

    def limit(self, original: Cost) -> int:
        """The largest cost that the bound allows.

        Raises:
            UsageError: E202, a bound on the latency, which this cost says nothing of.
        """
        if not hasattr(original, self.quantity):
            raise UsageError(
                "E202",
                f"target {self}: nothing was measured that tells what a mask takes",
                hint="make the cost model with onnxprune.latency.timed_model",
            )
        whole = int(getattr(original, self.quantity)) if self.relative else 1
        return floor(self.amount * whole)

    def __str__(self) -> str:
        name = name_of(self.quantity)
        if self.relative:
            return f"{name}={float(self.amount * 100):g}%"
        return f"{name}={amount_text(self.quantity, floor(self.amount)).replace(' ', '')}"


@dataclass(frozen=True)
class Target:
    """Bounds that all hold together; no bound at all lets everything stay."""

    bounds: tuple[Bound, ...] = ()

    @property
    def times(self) -> bool:
        """Whether the latency is bounded."""
        return any(bound.quantity == LATENCY for bound in self.bounds)

    @property
    def counted(self) -> "Target":
        """The bounds on what is counted, without those on the latency."""
        return Target(tuple(bound for bound in self.bounds if bound.quantity != LATENCY))

    def limits(self, original: Cost) -> dict[str, int]:
        """The largest allowed cost by quantity, for the quantities that are bounded."""
        limits: dict[str, int] = {}
        for bound in self.bounds:
            limit = bound.limit(original)
            limits[bound.quantity] = min(limit, limits.get(bound.quantity, limit))
        return limits

    def met_by(self, cost: Cost, *, original: Cost) -> bool:
        """Whether a cost is at or under every bound."""
        return all(getattr(cost, name) <= limit for name, limit in self.limits(original).items())

    def __str__(self) -> str:
        return " ".join(map(str, self.bounds))


def parse_target(texts: Iterable[str]) -> Target:
    """Bounds from what a user writes.

    >>> str(parse_target(["macs=50%", "params=1.2M"]))
    'macs=50% params=1200000'

    Args:
        texts: Each `quantity=amount` with a unit: % of the original; K, M, G for counts; B, KB, KiB, MB,
            MiB, GB, GiB for bytes; us, ms, s for latency. Upper and lower case alike.

    Raises:
        UsageError: E202, with what would have been right.
    """
    return Target(tuple(map(parse_bound, texts)))


def parse_bound(text: str) -> Bound:
    match = FORM.fullmatch(text.lower())
    if match is None:
        raise nonsense(text, "not of the form quantity=amount")
    quantity, unit, amount = match["quantity"], match["unit"], Fraction(match["amount"])
    if quantity not in UNITS:
        raise nonsense(text, f"unknown quantity {quantity!r}; there are {', '.join(UNITS)}")
    if not unit:
        share = f"{float(amount * 100 if amount < 1 else amount):g}%"
        raise nonsense(text, f"unit missing: {quantity}={share} or {quantity}={EXAMPLES[quantity]}")
    if unit != "%" and unit not in UNITS[quantity]:
        raise nonsense(text, f"unknown unit {unit!r}; there are % {' '.join(UNITS[quantity])}")
    if not amount or (unit == "%" and amount > 100):
        raise nonsense(text, "must be in (0, 100]%" if unit == "%" else "must be above zero")
    if unit == "%":
        return Bound(NAMES.get(quantity, quantity), amount / 100, relative=True)
    return Bound(NAMES.get(quantity, quantity), amount * UNITS[quantity][unit], relative=False)


def name_of(quantity: str) -> str:
    """What a user calls a quantity."""
    return next((name for name, own in NAMES.items() if own == quantity), quantity)


def texts_of(target: Target) -> tuple[str, ...]:
    """What a user would write for the bounds; `parse_target` reads it, exact for whole numbers.

    >>> texts_of(Target((Bound("macs", Fraction(1234567), False), Bound("latency_ns", Fraction(1, 3), True))))
    ('macs=1234.567K', 'latency=33.3333333%')
    """
    return tuple(map(text_of, target.bounds))


def text_of(bound: Bound) -> str:
    name = name_of(bound.quantity)
    if bound.relative:
        return f"{name}={float(bound.amount * 100):.7f}%"
    whole, amount = divmod(floor(bound.amount), 1000)
    return f"{name}={whole}.{amount:03d}{THOUSANDS[name]}"


def amount_text(quantity: str, amount: int) -> str:
    """An amount with its unit.

    >>> amount_text("macs", 1200), amount_text("latency_ns", 4_250_000)
    ('1200', '4.25 ms')
    """
    return f"{amount / TIMES['ms']:.6g} ms" if quantity == LATENCY else str(amount)


def nonsense(text: str, what: str) -> UsageError:
    hint = "for example macs=50%, params=1.2M, bytes=600KiB or latency=4ms"
    return UsageError("E202", f"target {text!r}: {what}", hint=hint)


def verdicts(target: Target, before: Cost, after: Cost) -> list[dict[str, Any]]:
    """Each bound: what was asked, what was reached, whether it holds."""
    return [
        {
            "target": str(bound),
            "limit": bound.limit(before),
            "reached": getattr(after, bound.quantity),
            "share": getattr(after, bound.quantity) / max(1, getattr(before, bound.quantity)),
            "met": getattr(after, bound.quantity) <= bound.limit(before),
        }
        for bound in target.bounds
    ]

"""Gates: bounds on the figures of `onnxprune compare`, for CI.

latency_p50<=0.8x     at most 0.8 times the latency of A
top1>=0.9             at least 90 %
"""

import operator
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from onnxprune.errors import GateError, UsageError

Figures = dict[str, tuple[float, float]]  # of A and of B
FORM = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=|<|>)\s*(\d+\.?\d*|\.\d+)\s*(%|x?)\s*")
HOLDS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
EXAMPLES = "for example latency_p50<=0.8x, top1>=90% or params<=100000"


@dataclass(frozen=True)
class Gate:
    """A bound on a figure of B, or on B as a multiple of A."""

    text: str
    figure: str
    relation: str
    bound: float
    relative: bool

    def value(self, figures: Figures) -> float:
        before, after = figures[self.figure]
        if not self.relative:
            return after
        return after / before if before else float("inf") if after else 1.0

    def holds(self, figures: Figures) -> bool:
        return bool(HOLDS[self.relation](self.value(figures), self.bound))

    def told(self, figures: Figures) -> str:
        verdict = "ok" if self.holds(figures) else "FAILED"
        return f"gate {self.text}: measured {self.value(figures):.4g}{'x' * self.relative} {verdict}"


def parse_gate(text: str) -> Gate:
    """The gate that a user writes.

    >>> parse_gate("latency_p50 <= 0.8x")
    Gate(text='latency_p50 <= 0.8x', figure='latency_p50', relation='<=', bound=0.8, relative=True)

    Raises:
        UsageError: E202.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise UsageError("E202", f"--gate '{text}': want FIGURE<=NUMBER or FIGURE<=NUMBERx", hint=EXAMPLES)
    figure, relation, bound, unit = match.groups()
    return Gate(text, figure, relation, float(bound) / (100 if unit == "%" else 1), unit == "x")


def require_known(gates: Sequence[Gate], figures: Collection[str]) -> None:
    """Raises: UsageError: E202, a gate on a figure that is not among these."""
    for gate in gates:
        if gate.figure not in figures:
            near = get_close_matches(gate.figure, figures, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(figures)}"
            raise UsageError("E202", f"--gate '{gate.text}' names no figure that is measured", hint=hint)


def require_all(gates: Sequence[Gate], figures: Figures) -> None:
    """Raises: GateError: E901, naming every gate that does not hold."""
    failed = [gate.told(figures) for gate in gates if not gate.holds(figures)]
    if failed:
        raise GateError("E901", "; ".join(failed))

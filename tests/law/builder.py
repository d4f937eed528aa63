"""A model under construction: a pool of values of three kinds with their shapes, the batch left out:

image   (N, C, H, W)        tokens  (N, T, C)        flat  (N, C)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from tests.law.build import Weight

T = TypeVar("T")
Shape = tuple[int, ...]  # without the batch
IMAGE, TOKENS, FLAT = 3, 2, 1  # kinds by their rank without the batch


@dataclass(frozen=True)
class Value:
    name: str
    shape: Shape

    @property
    def channels(self) -> int:
        return self.shape[0] if len(self.shape) == IMAGE else self.shape[-1]


@dataclass
class Builder:
    """A model under construction; `pick(n)` draws an integer in [0, n)."""

    pick: Callable[[int], int]
    pool: list[Value]
    lines: list[str] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    count: int = 0

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def node(self, call: str, shape: Shape) -> Value:
        """Add `name = call`; the value stays out of the pool."""
        value = Value(self.fresh("v"), shape)
        self.lines.append(f"{value.name} = {call}")
        return value

    def weight(self, weight: Weight, prefix: str = "w") -> str:
        name = self.fresh(prefix)
        self.weights[name] = weight
        return name

    def scalar(self, number: float) -> str:
        return self.weight(np.array(number, np.float32), "c")

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.pick(len(options))]

    def chance(self) -> bool:
        return self.pick(2) == 1

    def any_of(self, test: Callable[[Value], bool]) -> Value | None:
        """A value of the pool that fits, recent ones first."""
        fits = [value for value in self.pool[::-1] if test(value)]
        return self.one_of(fits[:4]) if fits else None

    def keep(self, value: Value) -> None:
        self.pool.append(value)

"""How to repair, and what was done at each node."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Method = Literal["least-squares", "moments", "bias"]
METHODS: tuple[Method, ...] = ("least-squares", "moments", "bias")


@dataclass(frozen=True)
class ReconstructOptions:
    """How to repair a pruned model.

    Attributes:
        method: "least-squares": new weights and biases; "moments": means and variances of the original,
            in BatchNormalizations where there are some, else in scaled weights and shifted biases; "bias":
            the same without the variances where there is no BatchNormalization.
        ridge: Damping towards the pruned weights, as a share of the mean diagonal of X^T X.
        residual: Correct at an addition what the other branch lost.
        downstream: Refit contractions that lost no input too, where what they read has changed.
        passes: Of fitting anew what a Relu lets through; 0: none.
        rows: Of each fit, about; so many positions of each sample are drawn, and 32 a column at least.
        columns: Widest product that is solved; above it only the bias is shifted. Bounds the memory: some 6
            times columns^2 * 8 bytes.
        portion_bytes: Of the columns of one run, about.
        seed: Of the draw of positions.
    """

    method: Method = "least-squares"
    ridge: float = 1e-4
    residual: bool = True
    downstream: bool = True
    passes: int = 4
    rows: int = 1 << 16
    columns: int = 8192
    portion_bytes: int = 64 << 20
    seed: int = 0

    @property
    def light(self) -> bool:
        """No weights are fitted."""
        return self.method != "least-squares"


@dataclass(frozen=True)
class Repair:
    """What was done at one node.

    Attributes:
        node: Its name.
        op_type: Its operator.
        number, total: Place among all nodes to repair, from 1.
        before, after: |target - output|^2 / |target - mean|^2 on the calibration inputs, per output channel,
            of the pruned weights and of the new ones; None where nothing was done.
        note: What was done otherwise, or why nothing was.
    """

    node: str
    op_type: str
    number: int
    total: int
    before: float | None = None
    after: float | None = None
    note: str = ""


Told = Callable[[Repair], None]

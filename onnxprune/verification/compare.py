"""How far two answers are apart, and how far they may be."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from onnxprune.onnx_file import Graph
from onnxprune.verification.sessions import Arrays
from onnxprune.verification.types import VerifyOptions

Array = NDArray[Any]

# relative to the largest output: sums in another order, through as many layers as models have
FLOAT_RTOL = {
    TensorProto.DOUBLE: 1e-8,
    TensorProto.FLOAT: 1e-4,
    TensorProto.FLOAT16: 1e-2,
    TensorProto.BFLOAT16: 5e-2,
}
QUANTISED_RTOL = 5e-2  # a last digit in a float moves a quantised value by a whole step
QUANTISED = {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16}
TIES = 1e-3  # share of an integer output (an ArgMax, say) that may flip


@dataclass(frozen=True)
class Tolerance:
    """Largest difference allowed: atol + rtol * largest expected value."""

    rtol: float
    atol: float


@dataclass(frozen=True)
class Distance:
    """How far answers are from the expected ones, over all outputs and feeds.

    Attributes:
        max_abs: Largest difference.
        relative: Largest difference of an output, relative to its largest expected value.
        fault: What is beyond the tolerance; "" where nothing is.
    """

    max_abs: float = 0.0
    relative: float = 0.0
    fault: str = ""

    def worse(self, other: "Distance") -> "Distance":
        fault = self.fault or other.fault
        return Distance(max(self.max_abs, other.max_abs), max(self.relative, other.relative), fault)


def tolerance_of(graph: Graph, options: VerifyOptions) -> Tolerance:
    """By the least precise type that the nodes of the graph compute with; `options.rtol` overrides."""
    if options.rtol is not None:
        return Tolerance(options.rtol, options.atol)
    made = {graph.types.get(name) for node in graph.nodes for name in node.outputs}
    kinds = made | {graph.types.get(value.name) for value in graph.outputs}
    known = [rtol for kind, rtol in FLOAT_RTOL.items() if kind in kinds]
    rtol = max(known, default=FLOAT_RTOL[TensorProto.FLOAT])
    return Tolerance(max(rtol, QUANTISED_RTOL) if made & QUANTISED else rtol, options.atol)


def distance(got: list[Arrays], expected: list[Arrays], tolerance: Tolerance) -> Distance:
    """Over all feeds and outputs."""
    total = Distance()
    for feed, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        if len(ours) != len(theirs):
            return Distance(np.inf, np.inf, f"{len(ours)} outputs instead of {len(theirs)}")
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            total = total.worse(one_distance(a, b, tolerance, f"output {number} of input {feed}"))
    return total


def one_distance(a: Array, b: Array, tolerance: Tolerance, where: str) -> Distance:
    if a.shape != b.shape or a.dtype != b.dtype:
        fault = f"{where}: {a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}"
        return Distance(np.inf, np.inf, fault)
    if a.dtype.kind in "fV" or a.dtype.name.startswith(("bfloat", "float")):
        return float_distance(a.astype(np.float64), b.astype(np.float64), tolerance, where)
    wrong = int(np.count_nonzero(a != b))
    allowed = int(TIES * a.size) if tolerance.rtol else 0
    fault = f"{where}: {wrong} of {a.size} elements differ" if wrong > allowed else ""
    return Distance(0.0, wrong / max(1, a.size), fault)


def float_distance(a: Array, b: Array, tolerance: Tolerance, where: str) -> Distance:
    """NaN equals NaN and infinity equals itself; the largest finite value gives the scale."""
    finite = np.isfinite(b)
    strange = ~(np.isfinite(a) & finite)
    if strange.any() and not np.array_equal(a[strange], b[strange], equal_nan=True):
        return Distance(np.inf, np.inf, f"{where}: infinite or NaN in other places than expected")
    scale = float(np.abs(b[finite]).max(initial=0.0))
    gap = float(np.abs(a[~strange] - b[~strange]).max(initial=0.0))
    bound = tolerance.atol + tolerance.rtol * scale
    relative = gap / scale if scale else (np.inf if gap else 0.0)
    beyond = f"{where}: max|d| {gap:.2g}, allowed {bound:.2g} (largest value {scale:.3g})"
    return Distance(gap, relative, beyond if gap > bound else "")


def same(got: list[Arrays], expected: list[Arrays]) -> bool:
    """Bit for bit, NaN equal to NaN."""
    if [len(arrays) for arrays in got] != [len(arrays) for arrays in expected]:
        return False
    pairs = zip(chain.from_iterable(got), chain.from_iterable(expected), strict=True)
    return all(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def finite(arrays: Iterable[Array]) -> bool:
    return all(bool(np.isfinite(a).all()) for a in arrays if a.dtype.kind in "fc")

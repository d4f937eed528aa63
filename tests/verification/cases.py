"""Pruned models to verify, and ways to spoil them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from onnxprune.cost import count
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.verification import VerificationReport, VerifyOptions, verify
from tests.law.build import Weight, ints, model, save

CNN = """
    a = Conv<pads=[1,1,1,1], kernel_shape=[3,3]>(x, w1, b1)
    n = BatchNormalization(a, scale, bias, mean, var)
    r = Relu(n)
    c = Conv<pads=[1,1,1,1]>(r, w2)
    d = Conv<group=8>(r, dw, db)
    e = Conv(d, w3, b3)
    s = Add(c, e)
    p = GlobalAveragePool(s)
    f = Reshape(p, target)
    h = Gemm<transB=1>(f, fc1, fb1)
    g = Relu(h)
    y = Gemm(g, fc2, fb2)
"""
CNN_WEIGHTS: dict[str, Weight] = {
    "w1": (8, 3, 3, 3),
    "b1": 8,
    "scale": 8,
    "bias": 8,
    "mean": 8,
    "var": 8,
    "w2": (6, 8, 3, 3),
    "dw": (8, 1, 1, 1),
    "db": 8,
    "w3": (6, 8, 1, 1),
    "b3": 6,
    "target": ints(-1, 6),
    "fc1": (7, 6),
    "fb1": 7,
    "fc2": (7, 5),
    "fb2": 5,
}

SHUFFLE = """
    a = Conv(x, w1, b1)
    r = Relu(a)
    s = Gather<axis=1>(r, order)
    c = Conv(s, w2, b2)
    y = GlobalAveragePool(c)
"""
SHUFFLE_WEIGHTS: dict[str, Weight] = {
    "w1": (8, 3, 1, 1),
    "b1": 8,
    "order": ints(0, 4, 1, 5, 2, 6, 3, 7),
    "w2": (4, 8, 1, 1),
    "b2": 4,
}

TOKENS = """
    e = Gather(table, ids)
    n = LayerNormalization<axis=-1>(e, gain, shift)
    u = MatMul(n, up)
    v = Add(u, upb)
    g = Relu(v)
    d = MatMul(g, down)
    s = Add(e, d)
    y = MatMul(s, head)
"""
TOKENS_WEIGHTS: dict[str, Weight] = {
    "table": (11, 8),
    "gain": 8,
    "shift": 8,
    "up": (8, 12),
    "upb": 12,
    "down": (12, 8),
    "head": (8, 11),
}

QUANTISED = """
    q = QuantizeLinear(x, s, z)
    a = QLinearConv(q, s, z, w1, ws1, wz1, s, z, b1)
    r = com.microsoft.QLinearSigmoid(a, s, z, s, z)
    t = com.microsoft.QLinearAdd(a, s, z, r, s, z, s, z)
    c = QLinearConv(t, s, z, w2, ws2, wz2, s, z, b2)
    y = DequantizeLinear(c, s, z)
"""


def quantised_weights() -> dict[str, Weight]:
    rng = np.random.default_rng(0)
    return {
        "s": np.array(0.02, np.float32),
        "z": np.array(100, np.uint8),
        "w1": rng.integers(-99, 99, (8, 3, 1, 1), np.int8),
        "b1": rng.integers(-99, 99, 8, np.int32),
        "ws1": rng.uniform(0.01, 0.02, 8).astype(np.float32),
        "wz1": np.zeros(8, np.int8),
        "w2": rng.integers(-99, 99, (4, 8, 1, 1), np.int8),
        "b2": rng.integers(-99, 99, 4, np.int32),
        "ws2": rng.uniform(0.01, 0.02, 4).astype(np.float32),
        "wz2": np.zeros(4, np.int8),
    }


@dataclass(frozen=True)
class Case:
    """An original, its groups, masks, and what `prune` makes of them."""

    groups: Groups
    masks: Masks
    pruned: ModelProto

    def verify(
        self, pruned: ModelProto | Path | None = None, *, masks: bool = True, **options: object
    ) -> VerificationReport:
        """The report on the pruned model, or on another one, by all that is known."""
        chosen = VerifyOptions(**{"cost": count(self.groups, self.masks), "prune": prune} | options)  # type: ignore[arg-type]
        return verify(
            self.groups.graph,
            self.pruned if pruned is None else pruned,
            masks=self.masks if masks else None,
            groups=self.groups,
            options=chosen,
        )


def case(
    made: ModelProto | Path, folder: Path, *, seed: int = 0, rate: float = 0.6, exact: bool = False
) -> Case:
    """The model pruned by random masks; `exact` leaves groups alone that a statistic runs over."""
    path = made if isinstance(made, Path) else save(made, folder)
    groups = find_groups(load_graph(path))
    masks = random_masks(groups, np.random.default_rng(seed), rate)
    if exact:
        masks = {name: bits for name, bits in masks.items() if not groups[name].inexact}
    return Case(groups, masks, prune(groups, masks))


def random_masks(groups: Groups, rng: np.random.Generator, rate: float) -> Masks:
    """Every group keeps a channel and, where it has more than one, loses one."""
    masks = {group.name: rng.random(group.channels) < rate for group in groups.prunable}
    for bits in masks.values():
        bits[0], bits[-1] = True, len(bits) == 1
    return masks


def cnn(folder: Path, batch: str = "N") -> Case:
    return case(model(f"float[{batch},3,6,6] x => float[{batch},5] y", CNN, **CNN_WEIGHTS), folder)


def shuffle(folder: Path) -> Case:
    return case(model("float[N,3,6,6] x => float[N,4,1,1] y", SHUFFLE, **SHUFFLE_WEIGHTS), folder)


def tokens(folder: Path, *, exact: bool = False) -> Case:
    return case(model("int64[N,S] ids => float[N,S,11] y", TOKENS, **TOKENS_WEIGHTS), folder, exact=exact)


def quantised(folder: Path) -> Case:
    """A model whose inner shapes onnx cannot infer: only a run tells."""
    made = model("float[N,3,6,6] x => float[N,4,6,6] y", QUANTISED, **quantised_weights())
    return case(made, folder)


def copy_of(proto: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(proto)
    return copy


def tensor(proto: ModelProto, name: str) -> TensorProto:
    return next(t for t in proto.graph.initializer if t.name == name)


def change(
    proto: ModelProto, name: str, edit: Callable[[NDArray[np.generic]], NDArray[np.generic]]
) -> ModelProto:
    """A copy in which one initializer has other values."""
    copy = copy_of(proto)
    target = tensor(copy, name)
    target.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(target).copy()), name))
    return copy


def statuses(report: VerificationReport) -> Mapping[str, str]:
    """Status by the first word of each check's name."""
    return {check.name.split()[0].rstrip(":"): str(check.status) for check in report.checks}

"""The light form: after it, each corrected node's output has the means that it has in the original."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.groups import Groups
from onnxprune.pruning.weights import kept_axes, sliced
from onnxprune.reconstruction import ReconstructOptions, Repair, reconstruct
from tests.reconstruction.conftest import Build

Array = NDArray[Any]
FEED = {"x": np.random.default_rng(2).standard_normal((16, 3, 6, 6)).astype(np.float32)}
SHAPES = {
    "w1": (8, 3, 3, 3),
    "b1": 8,
    "w2": (8, 8, 3, 3),
    "b2": 8,
    "w3": (8, 8, 3, 3),
    "b3": 8,
    "w4": (8, 8, 1, 1),
    "b4": 8,
}
BODIES = {
    "a chain": "c = Conv<pads=[1,1,1,1]>(x, w1, b1)\nr = Relu(c)\nd = Conv(r, w2, b2)\ns = Relu(d)\n"
    "e = Conv(s, w3, b3)\nt = Relu(e)\ny = Conv(t, w4, b4)",
    "both branches of a sum": "c = Conv(x, w1, b1)\nr = Relu(c)\nd = Conv(r, w2, b2)\ne = Conv(r, w3, b3)\n"
    "s = Add(d, e)\nt = Relu(s)\ny = Conv(t, w4, b4)",
    "a shortcut round two": "c = Conv<pads=[1,1,1,1]>(x, w1, b1)\nr = Relu(c)\n"
    "d = Conv<pads=[1,1,1,1]>(r, w2, b2)\nu = Relu(d)\ne = Conv<pads=[1,1,1,1]>(u, w3, b3)\n"
    "s = Add(e, r)\nt = Relu(s)\ny = Conv(t, w4, b4)",
}  # fmt: skip


def values(model: ModelProto, names: list[str]) -> dict[str, Array]:
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    for name in names:
        watched.graph.output.add().name = name
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, FEED), strict=True))


def means(value: Array) -> Array:
    found: Array = value.mean((0, *range(2, value.ndim)), dtype=np.float64)
    return found


def variances(value: Array) -> Array:
    found: Array = value.var((0, *range(2, value.ndim)), dtype=np.float64)
    return found


def outputs_of(groups: Groups, repairs: list[Repair]) -> list[str]:
    named = {node.name: node.outputs[0] for node in groups.graph.nodes}
    return [named[repair.node] for repair in repairs if repair.after is not None]


@pytest.mark.parametrize("case", BODIES)
def test_means_of_every_corrected_node_are_those_of_the_original(groups_of: Build, case: str) -> None:
    body = BODIES[case]
    groups = groups_of("float[N,3,6,6] x => float[N,8,P,Q] y", body, **SHAPES)
    masks = {g.name: np.arange(g.channels) % 2 == 0 for g in groups.prunable}
    told: list[Repair] = []
    repaired = reconstruct(groups, masks, [FEED], options=ReconstructOptions("bias"), told=told.append)
    corrected = outputs_of(groups, told)
    assert len(corrected) >= 2
    before, after = values(groups.graph.model, corrected), values(repaired, corrected)
    keep = groups.keep_labels(masks)
    for name in corrected:
        expected = sliced(before[name], kept_axes(groups.axis_labels(name), keep))
        np.testing.assert_allclose(means(after[name]), means(expected), atol=1e-5 * expected.std())


@pytest.mark.parametrize("case", BODIES)
def test_moments_of_every_corrected_node_are_those_of_the_original(groups_of: Build, case: str) -> None:
    groups = groups_of("float[N,3,6,6] x => float[N,8,P,Q] y", BODIES[case], **SHAPES)
    masks = {g.name: np.arange(g.channels) % 2 == 0 for g in groups.prunable}
    told: list[Repair] = []
    repaired = reconstruct(groups, masks, [FEED], options=ReconstructOptions("moments"), told=told.append)
    named = {node.name: node.outputs[0] for node in groups.graph.nodes}
    corrected = [named[repair.node] for repair in told if repair.note == "mean and variance matched"]
    assert len(corrected) == len(told) >= 2
    before, after = values(groups.graph.model, corrected), values(repaired, corrected)
    keep = groups.keep_labels(masks)
    for name in corrected:
        expected = sliced(before[name], kept_axes(groups.axis_labels(name), keep))
        np.testing.assert_allclose(means(after[name]), means(expected), atol=1e-5 * expected.std())
        np.testing.assert_allclose(variances(after[name]), variances(expected), rtol=1e-4)

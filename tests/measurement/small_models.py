"""Models of a few nodes, their samples, and their outputs recomputed in numpy."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxprune.data.samples import Batch, Samples

IR, OPSET = 10, 17
FEATURES, CLASSES = 6, 10


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    *,
    weights: dict[str, np.ndarray] | None = None,
    ir: int = IR,
    opset: int = OPSET,
    elements: int = TensorProto.FLOAT,
) -> bytes:
    """A model whose only output is y, of unknown shape."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(name, elements, dims) for name, dims in inputs.items()],
        [helper.make_tensor_value_info("y", elements, None)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("my.ops", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir).SerializeToString()


def classifier_weights(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((FEATURES, CLASSES)).astype(np.float32)


def classifier(weights: np.ndarray, *, batch: int | str = "N") -> bytes:
    """y = x @ w, for batches of any size or one."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="scores")
    return model_of([node], {"x": [batch, len(weights)]}, weights={"w": weights})


def convolutions(channels: int, *, side: int = 12) -> bytes:
    """Two 3x3 convolutions, `channels` between them."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((channels, 16, 3, 3)).astype(np.float32),
        "w2": rng.standard_normal((16, channels, 3, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["h"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2"], ["y"], name="conv2", pads=[1, 1, 1, 1]),
    ]
    return model_of(nodes, {"x": ["N", 16, side, side]}, weights=weights)


def image(side: int = 12) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((1, 16, side, side)).astype(np.float32)}


def samples_of(x: np.ndarray, labels: np.ndarray | None = None, *, synthetic: bool = False) -> Samples:
    def chunks(size: int) -> Iterator[Batch]:
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            yield Batch({"x": x[rows]}, None if labels is None else labels[rows])

    return Samples("small", chunks, count=len(x), labelled=labels is not None, synthetic=synthetic)


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, FEATURES)).astype(np.float32)

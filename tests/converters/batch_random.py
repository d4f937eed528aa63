"""Random graphs of shape-changing operators in which a batch of 1 is baked in, with many extents alike."""

from collections.abc import Callable
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]


class Draft:
    """A graph under construction: nodes, constants and the shape of each value at batch 1."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, Shape] = {}

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def weights(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape).astype(np.float32))

    def node(self, operator: str, inputs: list[str], shape: Shape, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        self.shapes[name] = tuple(int(n) for n in shape)
        return name

    def pick(self, *choices: object) -> object:
        return choices[self.rng.integers(len(choices))]

    def axis(self, shape: Shape) -> int:
        return int(self.rng.integers(len(shape)))


def factors(rng: np.random.Generator, size: int) -> Shape:
    """A random shape of this size; extents of 1 are common."""
    shape = []
    while size > 1 and len(shape) < 3:
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        shape.append(int(rng.choice(divisors)))
        size //= shape[-1]
    shape.append(size)
    shape += [1] * int(rng.integers(0, 2))
    return tuple(int(n) for n in rng.permutation(shape)) if rng.random() < 0.3 else tuple(shape)


def reshape(draft: Draft, x: str) -> str:
    shape = factors(draft.rng, prod(draft.shapes[x]))
    target = list(shape)
    if draft.rng.random() < 0.3:
        target[draft.axis(shape)] = -1
    return draft.node("Reshape", [x, draft.integers(*target)], shape)


def transpose(draft: Draft, x: str) -> str:
    order = [int(i) for i in draft.rng.permutation(len(draft.shapes[x]))]
    return draft.node("Transpose", [x], tuple(draft.shapes[x][i] for i in order), perm=order)


def add_constant(draft: Draft, x: str) -> str:
    shape = [n if draft.rng.random() < 0.7 else 1 for n in draft.shapes[x]]
    return draft.node("Add", [x, draft.weights(*shape[draft.axis(tuple(shape)) :])], draft.shapes[x])


def project(draft: Draft, x: str) -> str:
    *rest, last = draft.shapes[x]
    width = int(draft.pick(1, 2, last))
    return draft.node("MatMul", [x, draft.weights(last, width)], (*rest, width))


def itself(draft: Draft, x: str) -> str:
    return draft.node(str(draft.pick("Mul", "Max")), [x, reshape_back(draft, x)], draft.shapes[x])


def reshape_back(draft: Draft, x: str) -> str:
    return draft.node("Reshape", [reshape(draft, x), draft.integers(*draft.shapes[x])], draft.shapes[x])


def scores(draft: Draft, x: str) -> str:
    shape = draft.shapes[x]
    if len(shape) < 2 or max(shape) > 8:
        return x
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    other = draft.node("Transpose", [x], tuple(shape[i] for i in order), perm=order)
    return draft.node("MatMul", [x, other], (*shape[:-1], shape[-2]))


def reduce(draft: Draft, x: str) -> str:
    shape, axis, keep = draft.shapes[x], draft.axis(draft.shapes[x]), int(draft.pick(0, 1))
    left = shape[:axis] + ((1,) if keep else ()) + shape[axis + 1 :]
    operator = str(draft.pick("ReduceMax", "ReduceMean"))
    return draft.node(operator, [x], left, axes=[axis], keepdims=keep) if left else x


def softmax(draft: Draft, x: str) -> str:
    return draft.node("Softmax", [x], draft.shapes[x], axis=draft.axis(draft.shapes[x]))


def concat(draft: Draft, x: str) -> str:
    shape, axis = draft.shapes[x], draft.axis(draft.shapes[x])
    other = x if draft.rng.random() < 0.4 else draft.weights(*shape[:axis], 1, *shape[axis + 1 :])
    extent = shape[axis] * 2 if other == x else shape[axis] + 1
    return draft.node("Concat", [x, other], (*shape[:axis], extent, *shape[axis + 1 :]), axis=axis)


def slice_(draft: Draft, x: str) -> str:
    shape, axis = draft.shapes[x], draft.axis(draft.shapes[x])
    start = int(draft.rng.integers(shape[axis])) if draft.rng.random() < 0.5 else 0
    bounds = [
        draft.integers(start),
        draft.integers(int(draft.pick(shape[axis], 2**62))),
        draft.integers(axis),
    ]
    return draft.node("Slice", [x, *bounds], (*shape[:axis], shape[axis] - start, *shape[axis + 1 :]))


def gather(draft: Draft, x: str) -> str:
    shape, axis = draft.shapes[x], draft.axis(draft.shapes[x])
    if len(shape) < 2:
        return x
    index = draft.constant(np.array(draft.rng.integers(shape[axis]), np.int64))
    return draft.node("Gather", [x, index], shape[:axis] + shape[axis + 1 :], axis=axis)


def squeeze(draft: Draft, x: str) -> str:
    ones = [axis for axis, n in enumerate(draft.shapes[x]) if n == 1]
    if not ones or len(draft.shapes[x]) < 2:
        return x
    axis = int(draft.rng.choice(ones))
    return draft.node(
        "Squeeze", [x, draft.integers(axis)], draft.shapes[x][:axis] + draft.shapes[x][axis + 1 :]
    )


def unsqueeze(draft: Draft, x: str) -> str:
    axis = int(draft.rng.integers(len(draft.shapes[x]) + 1))
    shape = (*draft.shapes[x][:axis], 1, *draft.shapes[x][axis:])
    return draft.node("Unsqueeze", [x, draft.integers(axis)], shape)


def expand(draft: Draft, x: str) -> str:
    shape = draft.shapes[x]
    wider = tuple(2 if n == 1 and draft.rng.random() < 0.3 else n for n in shape)
    return draft.node("Expand", [x, draft.integers(*wider)], wider)


def tile(draft: Draft, x: str) -> str:
    repeats = [int(draft.pick(1, 1, 2)) for _ in draft.shapes[x]]
    shape = tuple(n * r for n, r in zip(draft.shapes[x], repeats, strict=True))
    return draft.node("Tile", [x, draft.integers(*repeats)], shape)


def flatten(draft: Draft, x: str) -> str:
    shape, axis = draft.shapes[x], int(draft.rng.integers(len(draft.shapes[x]) + 1))
    return draft.node("Flatten", [x], (prod(shape[:axis]), prod(shape[axis:])), axis=axis)


STEPS: list[Callable[[Draft, str], str]] = [
    *[reshape] * 4,
    *[transpose] * 2,
    add_constant,
    project,
    itself,
    scores,
    reduce,
    softmax,
    concat,
    slice_,
    gather,
    squeeze,
    unsqueeze,
    expand,
    tile,
    flatten,
]


def random_model(seed: int) -> onnx.ModelProto:
    """A chain of a few steps from an input (1, ...) to an output (1, k)."""
    draft = Draft(seed)
    x, start = "x", (1, *factors(draft.rng, int(draft.pick(4, 6, 12))))
    draft.shapes[x] = start
    for _ in range(int(draft.rng.integers(2, 8))):
        if prod(draft.shapes[x]) <= 200 and len(draft.shapes[x]) <= 6:
            x = STEPS[draft.rng.integers(len(STEPS))](draft, x)
    size = prod(draft.shapes[x])
    out = draft.node("Reshape", [x, draft.integers(1, size)], (1, size))
    graph = helper.make_graph(
        draft.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, start)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, (1, size))],
        draft.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

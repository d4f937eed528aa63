"""Small models with everything that a file can hold: built here, so that each test sees what it reads."""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def parsed(text: str, **weights: np.ndarray) -> ModelProto:
    """A model from its text; weights that the text only names are added as initializers."""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(w, name) for name, w in weights.items())
    return model


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def chain(rng: np.random.Generator) -> ModelProto:
    """Conv, BatchNormalization, Relu, Conv, pool, Gemm."""
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17], producer_name: "tests", metadata_props: ["kind": "chain"]>
        chain (float[N, 3, 8, 8] x) => (float[N, 5] y) {
            c = Conv<pads = [1, 1, 1, 1]>(x, conv_w, conv_b)
            n = BatchNormalization(c, scale, shift, mean, variance)
            r = Relu(n)
            d = Conv(r, conv2_w)
            p = GlobalAveragePool(d)
            f = Flatten(p)
            y = Gemm<transB = 1>(f, fc_w, fc_b)
        }""",
        conv_w=normal(rng, 8, 3, 3, 3),
        conv_b=normal(rng, 8),
        **{name: normal(rng, 8) for name in ("scale", "shift", "mean")},
        variance=np.abs(normal(rng, 8)) + 1,
        conv2_w=normal(rng, 6, 8, 3, 3),
        fc_w=normal(rng, 5, 6),
        fc_b=normal(rng, 5),
    )
    model.graph.doc_string = "a chain"
    return model


def residual(rng: np.random.Generator) -> ModelProto:
    """Two branches added and concatenated, with constants as nodes and a computed Reshape target."""
    return parsed(
        """<ir_version: 8, opset_import: ["" : 18]>
        residual (float[2, 4, 6, 6] x) => (float[2, 5] y) {
            a = Conv<pads = [1, 1, 1, 1]>(x, a_w)
            b = Conv<pads = [1, 1, 1, 1]>(a, b_w)
            s = Add(a, b)
            k = Concat<axis = 1>(s, a)
            shape = Shape(k)
            zero = Constant<value = int64[1] {0}>()
            batch = Gather(shape, zero)
            rest = Constant<value_ints = [-1]>()
            target = Concat<axis = 0>(batch, rest)
            half = Constant<value_float = 0.5>()
            m = Mul(k, half)
            flat = Reshape(m, target)
            y = MatMul(flat, fc_w)
        }""",
        a_w=normal(rng, 8, 4, 3, 3),
        b_w=normal(rng, 8, 8, 3, 3),
        fc_w=normal(rng, 16 * 36, 5),
    )


def attention(rng: np.random.Generator) -> ModelProto:
    """One attention layer, its weights partly in typed fields."""
    model = parsed(
        """<ir_version: 9, opset_import: ["" : 17]>
        attention (float[B, 7, 16] x) => (float[B, 7, 16] y) {
            n = LayerNormalization<axis = -1>(x, gain, offset)
            qkv = MatMul(n, qkv_w)
            q, k, v = Split<axis = 2>(qkv, sizes)
            kt = Transpose<perm = [0, 2, 1]>(k)
            scores = MatMul(q, kt)
            p = Softmax<axis = -1>(scores)
            o = MatMul(p, v)
            z = MatMul(o, out_w)
            y = Add(x, z)
        }""",
        gain=normal(rng, 16),
        offset=normal(rng, 16),
        qkv_w=normal(rng, 16, 48),
        sizes=np.array([16, 16, 16], np.int64),
    )
    values = normal(rng, 16, 16).ravel().tolist()
    model.graph.initializer.append(helper.make_tensor("out_w", FLOAT, [16, 16], values))
    return model


def nested(rng: np.random.Generator) -> ModelProto:
    """Weights in a branch of an If, in a local function, and in a sparse initializer."""
    model = parsed(
        """<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
        nested (float[2, 4] x, bool flag) => (float[2, 6] y) {
            h = MatMul(x, w)
            t = local.scaled(h)
            z = If(flag) <
                then_branch = yes () => (float[2, 6] u) { u = Add(t, yes_b) },
                else_branch = no () => (float[2, 6] u2) { c = Constant<value = float {2.0}>() u2 = Mul(t, c) }
            >
            y = Add(z, sparse_b)
        }
        <domain: "local", opset_import: ["" : 17]>
        scaled (v) => (out) {
            factor = Constant<value = float[6] {1, 2, 3, 4, 5, 6}>()
            out = Mul(v, factor)
        }""",
        w=normal(rng, 4, 6),
    )
    then = next(a.g for n in model.graph.node for a in n.attribute if a.name == "then_branch")
    then.initializer.append(numpy_helper.from_array(normal(rng, 6), "yes_b"))
    values = numpy_helper.from_array(normal(rng, 2), "sparse_b")
    indices = numpy_helper.from_array(np.array([1, 4], np.int64), "sparse_b_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [6]))
    return model


BUILDERS = (chain, residual, attention, nested)


def wide(rng: np.random.Generator, count: int, size: int) -> ModelProto:
    """`count` MatMul layers of `size` x `size`, named as exporters do."""
    layers = "\n".join(f"v{i + 1} = MatMul(v{i}, w{i})" for i in range(count))
    model = parsed(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        wide (float[1, {size}] v0) => (float[1, {size}] v{count}) {{
            {layers}
        }}""",
        **{f"w{i}": normal(rng, size, size) for i in range(count)},
    )
    for tensor in model.graph.initializer:
        tensor.name = f"layer.{tensor.name}"
    for node in model.graph.node:
        node.input[1] = f"layer.{node.input[1]}"
    return model


def save_external(model: ModelProto, path: Path, *, one_file: bool) -> ModelProto:
    """Write a model with all its weights outside, by onnx's own means; the model as it was before."""
    before = ModelProto()
    before.CopyFrom(model)
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=one_file,
        location=f"{path.name}.data" if one_file else None,
        size_threshold=0,
        convert_attribute=True,
    )
    return before

"""Files with one fault each, and the command line that meets it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from tests.onnx_file.small_models import parsed, save_external

Words = list[object]
MakeWords = Callable[[Path], Words]


def prune(*options: object, target: str = "macs=50%") -> MakeWords:
    """`onnxprune prune chain.onnx` with options; {} in them is the folder."""

    def words(folder: Path) -> Words:
        filled = [str(option).replace("{}", str(folder)) for option in options]
        return ["prune", folder / "chain.onnx", "-o", folder / "out.onnx", "--target", target, *filled]

    return words


def on(command: str, *options: object) -> MakeWords:
    """`onnxprune COMMAND chain.onnx` with options; {} in them is the folder."""

    def words(folder: Path) -> Words:
        filled = [str(option).replace("{}", str(folder)) for option in options]
        return [command, folder / "chain.onnx", *filled]

    return words


def with_file(content: bytes, *, command: str = "inspect") -> MakeWords:
    """A command on a file with this content."""

    def words(folder: Path) -> Words:
        path = folder / "strange.onnx"
        path.write_bytes(content)
        return [command, path, *(["-o", folder / "out.onnx", "--target", "macs=50%"] * (command == "prune"))]

    return words


def changed(change: Callable[[onnx.ModelProto], object], *, command: str = "prune") -> MakeWords:
    """A command on the small model after a change."""

    def words(folder: Path) -> Words:
        made = onnx.load(folder / "chain.onnx")
        change(made)
        return with_file(made.SerializeToString(), command=command)(folder)

    return words


def data(save: Callable[[Path], object], *options: object, name: str = "bad.npz") -> MakeWords:
    """`measure` on data that `save` writes."""

    def words(folder: Path) -> Words:
        save(folder / name)
        return ["measure", folder / "chain.onnx", "--data", folder / name, *options]

    return words


def truncated(folder: Path) -> Words:
    return with_file((folder / "chain.onnx").read_bytes()[:-500])(folder)


def taken(folder: Path) -> Words:
    (folder / "out.onnx").write_bytes(b"somebody's work")
    return prune()(folder)


def outside(change: Callable[[onnx.ModelProto, Path], object]) -> MakeWords:
    """The small model with weights outside, after a change."""

    def words(folder: Path) -> Words:
        path = folder / "outside.onnx"
        save_external(onnx.load(folder / "chain.onnx"), path, one_file=True)
        written = onnx.load(path, load_external_data=False)
        change(written, folder / "outside.onnx.data")
        path.write_bytes(written.SerializeToString())
        return ["inspect", path]

    return words


def escape(model: onnx.ModelProto, weights: Path) -> None:
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../etc/passwd"


def set_ir(model: onnx.ModelProto, version: int) -> None:
    model.ir_version = version


def set_opset(model: onnx.ModelProto, version: int) -> None:
    model.opset_import[0].version = version


def misfit(model: onnx.ModelProto) -> None:
    """The second Conv reads 7 channels of 8."""
    weight = next(t for t in model.graph.initializer if t.name == "conv2_w")
    array = onnx.numpy_helper.to_array(weight)[:, :7]
    weight.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), "conv2_w"))


def drop_normalization(model: onnx.ModelProto) -> None:
    """Relu reads the Conv itself."""
    norm, relu = model.graph.node[1], model.graph.node[2]
    relu.input[0] = norm.input[0]
    model.graph.node.remove(norm)


def nothing_to_prune(folder: Path) -> Words:
    made = parsed(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 3] y) { y = MatMul(x, w) }',
        w=np.ones((4, 3), np.float32),
    )
    return with_file(made.SerializeToString(), command="prune")(folder)


def custom_operator(folder: Path) -> Words:
    made = parsed(
        """<ir_version: 8, opset_import: ["" : 17, "my.ops" : 1]>
        g (float[N, 4] x) => (float[N, 3] y) { h = MatMul(x, w) y = my.ops.FancyRelu(h) }""",
        w=np.ones((4, 3), np.float32),
    )
    made.graph.node[1].name = "/stem/Relu"
    return with_file(made.SerializeToString(), command="bench")(folder)


def only_subgraphs(folder: Path) -> Words:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[2, 4] x, bool flag) => (float[2, 4] y) {
            y = If(flag) <
                then_branch = yes () => (float[2, 4] u) { u = MatMul(x, w) },
                else_branch = no () => (float[2, 4] u2) { u2 = Neg(x) }
            >
        }"""
    made = parsed(text, w=np.eye(4, dtype=np.float32))
    return with_file(made.SerializeToString(), command="prune")(folder)


def a_pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x04}\x94\x8c\x01x\x94K\x01s.")


def objects(path: Path) -> None:
    np.savez(path, x=np.array([{"a": 1}], object))


def saved(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)

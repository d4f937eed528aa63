"""The error catalogue: for each row files that have the fault, and the command that meets it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from tests.onnx_file.small_models import parsed, save_external

Words = list[object]


@dataclass(frozen=True)
class Fault:
    """One row.

    Args:
        code, exit_code: What the user must see.
        says: Parts of what is printed.
        words: Makes the files in a folder that holds chain.onnx and samples.npz; returns the command line.
    """

    code: str
    exit_code: int
    says: tuple[str, ...]
    words: Callable[[Path], Words]


def prune(*options: object, target: str = "macs=50%") -> Callable[[Path], Words]:
    """`onnxprune prune chain.onnx` with options; {} in them is the folder."""

    def words(folder: Path) -> Words:
        filled = [str(option).replace("{}", str(folder)) for option in options]
        return ["prune", folder / "chain.onnx", "-o", folder / "out.onnx", "--target", target, *filled]

    return words


def on(command: str, *options: object) -> Callable[[Path], Words]:
    """`onnxprune COMMAND chain.onnx` with options; {} in them is the folder."""

    def words(folder: Path) -> Words:
        filled = [str(option).replace("{}", str(folder)) for option in options]
        return [command, folder / "chain.onnx", *filled]

    return words


def with_file(content: bytes, *, command: str = "inspect") -> Callable[[Path], Words]:
    """A command on a file with this content."""

    def words(folder: Path) -> Words:
        path = folder / "strange.onnx"
        path.write_bytes(content)
        return [command, path, *(["-o", folder / "out.onnx", "--target", "macs=50%"] * (command == "prune"))]

    return words


def changed(
    change: Callable[[onnx.ModelProto], object], *, command: str = "prune"
) -> Callable[[Path], Words]:
    """A command on the small model after a change."""

    def words(folder: Path) -> Words:
        made = onnx.load(folder / "chain.onnx")
        change(made)
        return with_file(made.SerializeToString(), command=command)(folder)

    return words


def data(save: Callable[[Path], object], *options: object, name: str = "bad.npz") -> Callable[[Path], Words]:
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


def outside(change: Callable[[onnx.ModelProto, Path], object]) -> Callable[[Path], Words]:
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


X = np.zeros((4, 3, 8, 8), np.float32)

FAULTS: dict[str, Fault] = {
    "unknown command": Fault("E201", 2, ("'prun'", "did you mean 'prune'?"), lambda _: ["prun"]),
    "unknown option": Fault("E201", 2, ("'--traget'", "did you mean --target?"), prune("--traget", "x")),
    "missing argument": Fault("E201", 2, ("missing argument", "--help"), lambda _: ["inspect"]),
    "number expected": Fault("E201", 2, ("'--batch'", "many"), on("bench", "--batch", "many")),
    "unknown criterion": Fault("E201", 2, ("did you mean 'wanda'?",), prune("--criterion", "wandas")),
    "unknown allocation": Fault("E201", 2, ("did you mean 'global'?",), prune("--allocation", "globl")),
    "unknown provider": Fault("E201", 2, ("--provider cud", "cuda"), on("bench", "--provider", "cud")),
    "json into a model": Fault("E201", 2, ("must end in .json",), on("inspect", "--json", "{}/chain.onnx")),
    "images without layout": Fault("E201", 2, ("--layout",), on("measure", "--mean", "0.5", "--std", "1")),
    "target over 100 %": Fault("E202", 2, ("macs=150%", "(0, 100]%"), prune(target="macs=150%")),
    "target without unit": Fault("E202", 2, ("unit missing", "1.2M"), prune(target="params=4")),
    "target without number": Fault("E202", 2, ("quantity=amount", "macs=50%"), prune(target="50%")),
    "unknown quantity": Fault("E202", 2, ("'mac'", "params"), prune(target="mac=50%")),
    "no target at all": Fault(
        "E202", 2, ("no --target",), lambda f: ["prune", f / "chain.onnx", "-o", f / "out.onnx"]
    ),
    "nonsense alignment": Fault("E202", 2, ("'eight'", "auto"), prune("--align", "eight")),
    "nonsense share": Fault("E202", 2, ("'110%'",), prune("--min-keep", "110%")),
    "nonsense gate": Fault(
        "E202", 2, ("faster", "latency_p50<=0.8x"), on("compare", "{}/chain.onnx", "--gate", "faster")
    ),
    "gate on nothing": Fault(
        "E202", 2, ("did you mean 'macs'?",), on("compare", "{}/chain.onnx", "--gate", "mac<=1x")
    ),
    "output exists": Fault("E203", 2, ("out.onnx exists", "--force"), taken),
    "output in no folder": Fault("E203", 2, ("not a directory",), prune("-o", "{}/nope/out.onnx")),
    "masks in no folder": Fault("E203", 2, ("not a directory",), prune("--save-masks", "{}/nope/m.json")),
    "document in no folder": Fault("E203", 2, ("not a directory",), prune("--json", "{}/nope/d.json")),
    "pattern without match": Fault("E204", 2, ("'haed/.*'", "closest"), prune("--skip", "haed/.*")),
    "pattern that is none": Fault("E204", 2, ("'('",), prune("--only", "(")),
    "shape of nothing": Fault("E205", 2, ("'y'", "x"), on("inspect", "--shape", "y:1,3,8,8")),
    "shape that is none": Fault("E205", 2, ("'x:1,3,a'",), on("inspect", "--shape", "x:1,3,a")),
    "shape that does not fit": Fault("E205", 2, ("x",), on("inspect", "--shape", "x:1,4,8,8")),
    "masks that are none": Fault("E206", 2, ("samples.npz",), prune("--masks", "{}/samples.npz")),
    "masks of another kind": Fault("E206", 2, (".npz",), prune("--save-masks", "{}/masks.txt")),
    "model missing": Fault(
        "E301", 3, ("'{}/chian.onnx' does not exist", "did you mean"), lambda f: ["inspect", f / "chian.onnx"]
    ),
    "model empty": Fault("E302", 3, ("empty (0 bytes)",), with_file(b"")),
    "model is an image": Fault("E303", 3, ("PNG",), with_file(b"\x89PNG\r\n\x1a\n" + bytes(50))),
    "model is text": Fault("E303", 3, ("text",), with_file(b"a few words\n" * 9)),
    "model is a web page": Fault("E303", 3, ("HTML",), with_file(b"<!DOCTYPE html><html></html>")),
    "model is a pointer": Fault(
        *("E303", 3, ("git lfs pull",)),
        with_file(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ),
    "model truncated": Fault("E304", 3, ("ends inside a field", "incomplete"), truncated),
    "model without nodes": Fault(
        "E305", 3, ("without nodes",), changed(lambda m: m.graph.ClearField("node"), command="inspect")
    ),
    "model without graph": Fault(
        "E305", 3, ("no graph",), changed(lambda m: m.ClearField("graph"), command="inspect")
    ),
    "weights missing": Fault("E306", 3, ("'outside.onnx.data'",), outside(lambda _, file: file.unlink())),
    "weights short": Fault(
        "E306", 3, ("outside.onnx.data",), outside(lambda _, file: file.write_bytes(file.read_bytes()[:-99]))
    ),
    "weights elsewhere": Fault("E306", 3, ("../../etc/passwd",), outside(escape)),
    "IR too new": Fault("E307", 3, ("IR 99", "onnxruntime"), changed(lambda m: set_ir(m, 99))),
    "opset too new": Fault("E308", 3, ("opset 99",), changed(lambda m: set_opset(m, 99))),
    "opset too old": Fault("E308", 3, ("opset 6",), changed(lambda m: set_opset(m, 6))),
    "shapes do not fit": Fault("E309", 3, ("Conv", "7", "8"), changed(misfit)),
    "custom operator": Fault("E401", 4, ("/stem/Relu", "my.ops", "FancyRelu"), custom_operator),
    "nothing prunable": Fault("E402", 4, ("prunable", "graph input", "graph output"), nothing_to_prune),
    "only subgraphs": Fault("E402", 4, ("prunable",), only_subgraphs),
    "criterion without a place": Fault(
        "E403",
        4,
        ("BatchNormalization",),
        lambda f: [*changed(drop_normalization)(f), "--criterion", "bn-scale"],
    ),
    "data missing": Fault("E501", 5, ("nope.npz",), on("measure", "--data", "{}/nope.npz")),
    "data is a pickle": Fault("E501", 5, ("pickles are refused",), data(a_pickle, name="bad.pkl")),
    "data holds objects": Fault("E501", 5, ("refused",), data(objects)),
    "data is no array": Fault("E501", 5, ("bad.npz",), data(lambda path: path.write_bytes(b"nothing"))),
    "data by other names": Fault("E502", 5, ("[images]", "[x]", "--map images=x"), data(saved(images=X))),
    "data turned round": Fault("E503", 5, ("NHWC",), data(saved(x=X.transpose(0, 2, 3, 1)))),
    "data of another type": Fault("E503", 5, ("int64", "float32"), data(saved(x=X.astype(np.int64)))),
    "no data": Fault("E504", 5, ("--data",), on("measure")),
    "no labels": Fault("E504", 5, ("labels", "--reference"), data(saved(x=X), "--metric", "top1")),
    "no calibration inputs": Fault("E504", 5, ("wanda", "--data"), prune("--criterion", "wanda")),
    "noise for accuracy": Fault(
        "E504", 5, ("random",), on("measure", "--data", "random", "--reference", "{}/chain.onnx")
    ),
    "metric raises": Fault(
        "E506",
        5,
        ("broken_metric", "no such luck"),
        on("measure", "--data", "{}/samples.npz", "--metric", "tests.cli.metrics:broken_metric"),
    ),
    "metric is no number": Fault(
        "E506",
        5,
        ("nan",),
        on("measure", "--data", "{}/samples.npz", "--metric", "tests.cli.metrics:no_number"),
    ),
    "provider does not run": Fault(
        "E601",
        6,
        ("NoSuchExecutionProvider requested", "CPUExecutionProvider"),
        on("bench", "--provider", "NoSuchExecutionProvider", "--require-provider"),
    ),
    "target out of reach": Fault("E701", 7, ("macs=1%", "smallest reachable", "%"), prune(target="macs=1%")),
    "gate does not hold": Fault(
        "E901",
        9,
        ("macs<=0.5x", "measured 1x FAILED"),
        on("compare", "{}/chain.onnx", "--no-latency", "--gate", "macs<=0.5x"),
    ),
}

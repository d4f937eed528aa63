"""The error catalogue: for each row files that have the fault, and the command that meets it."""

from dataclasses import dataclass

import numpy as np

from tests.cli.faulty_files import (
    MakeWords,
    a_pickle,
    changed,
    custom_operator,
    data,
    drop_normalization,
    escape,
    misfit,
    nothing_to_prune,
    objects,
    on,
    only_subgraphs,
    outside,
    prune,
    saved,
    set_ir,
    set_opset,
    taken,
    truncated,
    with_file,
)


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
    words: MakeWords


X = np.zeros((4, 3, 8, 8), np.float32)

FAULTS: dict[str, Fault] = {
    "unknown command": Fault("E201", 2, ("'prun'", "did you mean 'prune'?"), lambda _: ["prun"]),
    "unknown option": Fault("E201", 2, ("'--traget'", "did you mean --target?"), prune("--traget", "x")),
    "missing argument": Fault("E201", 2, ("missing argument", "--help"), lambda _: ["inspect"]),
    "number expected": Fault("E201", 2, ("'--batch'", "many"), on("bench", "--batch", "many")),
    "unknown criterion": Fault("E201", 2, ("did you mean 'wanda'?",), prune("--criterion", "wandas")),
    "unknown allocation": Fault("E201", 2, ("did you mean 'global'?",), prune("--allocation", "globl")),
    "unknown provider": Fault("E201", 2, ("--provider cud", "cuda"), on("bench", "--provider", "cud")),
    "unknown device": Fault("E201", 2, ("--device CPUU", "did you mean cpu?"), prune("--device", "CPUU")),
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

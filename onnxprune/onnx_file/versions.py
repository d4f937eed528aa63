"""Which IR versions and opsets can be read, by what the installed ONNX Runtime really accepts.

ONNX Runtime has no call that tells. Models beyond what every supported version reads are settled by trial:
one-node models, one version after the other, until a session refuses (under 1 ms each). The trial and the
import of ONNX Runtime happen only then.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from onnxprune.errors import ModelError

OLDEST_OPSET = 7
SURE_IR = 10
SURE_OPSET = 21
HIGHEST_TRIED = 100
DEFAULT_DOMAIN = ("", "ai.onnx")
CONVERT_HINT = "convert it: onnx.version_converter.convert_version(onnx.load(path), 17)"
UPGRADE_HINT = "upgrade onnxruntime, or export the model again with an older {what}"


@dataclass(frozen=True)
class Newest:
    """The newest version that a runtime ("onnxruntime 1.31.1") reads."""

    version: int
    runtime: str


def check_versions(path: Path, model: ModelProto) -> None:
    """Check that ONNX Runtime reads the model's IR version and its opset.

    Raises:
        ModelError: E307 IR too new, E308 opset too new or too old, E304 neither is stated.
    """
    if not model.HasField("ir_version"):
        raise ModelError("E304", f"{path.name} states no IR version: damaged or truncated")
    if model.ir_version > SURE_IR:
        check_newest(path, "IR", model.ir_version, "E307")
    opset = default_opset(path, model)
    if opset is None:
        return
    if opset < OLDEST_OPSET:
        message = f"{path.name}: opset {opset} < {OLDEST_OPSET}, the oldest that is supported"
        raise ModelError("E308", message, hint=CONVERT_HINT)
    if opset > SURE_OPSET:
        check_newest(path, "opset", opset, "E308")


def default_opset(path: Path, model: ModelProto) -> int | None:
    """Version of ONNX's own operators; None where the model uses other domains only."""
    versions = [entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAIN]
    if versions:
        return int(max(versions))
    if any(node.domain in DEFAULT_DOMAIN for node in model.graph.node):
        raise ModelError(
            "E304",
            f"{path.name} states no opset for ONNX's own operators: damaged or truncated",
            hint="copy or export the file again",
        )
    return None


def check_newest(path: Path, what: str, version: int, code: str) -> None:
    newest = newest_readable(what)
    if newest is not None and version > newest.version:
        message = f"{path.name}: {what} {version} is newer than {newest.runtime} reads ({newest.version})"
        raise ModelError(code, message, hint=UPGRADE_HINT.format(what=what))


@cache
def newest_readable(what: str) -> Newest | None:
    """The newest "IR" or "opset" that the installed ONNX Runtime reads; None where there is none to ask."""
    try:
        import onnxruntime  # noqa: PLC0415  most models need no trial, and then the import is spared
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    newest = SURE_IR if what == "IR" else SURE_OPSET
    for version in range(newest + 1, HIGHEST_TRIED):
        ir, opset = (version, SURE_OPSET) if what == "IR" else (SURE_IR, version)
        try:
            onnxruntime.InferenceSession(one_node_model(ir, opset), options, ["CPUExecutionProvider"])
        except Exception:  # noqa: BLE001  each refusal has a type of its own, in a private module
            break
        newest = version
    return Newest(newest, f"onnxruntime {onnxruntime.__version__}")


def one_node_model(ir: int, opset: int) -> bytes:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "trial", ends[:1], ends[1:])
    model = helper.make_model(graph, ir_version=ir, opset_imports=[helper.make_opsetid("", opset)])
    return bytes(model.SerializeToString())

"""What ONNX Runtime raises, as rows of the error catalogue."""

import re
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from onnxprune.errors import ModelError, OnnxPruneError, RuntimeProblem, UnsupportedError

Row = tuple[re.Pattern[str], type[OnnxPruneError], str, str]

# First match wins. ONNX Runtime has error classes, but the same class stands for many faults.
ROWS: tuple[Row, ...] = (
    (re.compile(r"No such file|doesn't exist|does not exist|NO_SUCHFILE"), ModelError, "E301", "is missing"),
    (re.compile(r"model IR version|IR_VERSION"), ModelError, "E307", "has an IR version that is too new"),
    (re.compile(r"opset.*under development", re.DOTALL), ModelError, "E308", "has an opset that is too new"),
    (
        re.compile(r"not a registered function/op|No Op registered|No opset import|NOT_IMPLEMENTED"),
        UnsupportedError,
        "E401",
        "uses an operator unknown to onnxruntime",
    ),
    (
        re.compile(r"Failed to allocate|bad_alloc|out of memory", re.IGNORECASE),
        RuntimeProblem,
        "E605",
        "needs more memory than there is",
    ),
)
HINTS = {
    "E307": "export it again with an older IR version, or upgrade onnxruntime",
    "E308": "export it again with an older opset, or upgrade onnxruntime",
    "E401": "inspect and prune still work; what must run the model does not",
    "E605": "use a smaller --batch",
}
UNKNOWN = re.compile(r"(?:([\w.]+):)?(\w+)\(-?\d+\) is not a registered|No Op registered for (\w+)")
BATCH = re.compile(r"index: 0 Got|[Rr]eshape")
BATCH_HINT = "where the model takes single rows only: --batch 1"
PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
SOURCE = re.compile(r"/\S+\.(?:cc|h):\d+ [^\n]*?\) ?")


def plain_text(error: Exception) -> str:
    """What ONNX Runtime says, in one line and without places in its source."""
    return " ".join(SOURCE.sub("", PREFIX.sub("", str(error))).split())


def model_problem(name: str, error: Exception, source: str | bytes = b"") -> OnnxPruneError:
    """The error of the catalogue for what ONNX Runtime raised about the model `name`.

    Args:
        name: Of the model, for the message.
        error: What was raised.
        source: The model's path or content, to find the node that it is about.
    """
    text = plain_text(error)
    for pattern, kind, code, what in ROWS:
        if pattern.search(str(error)):
            told = f"{name} {what}" if code != "E401" else unknown_operator(text, source) or f"{name} {what}"
            return kind(code, told, cause=text, hint=HINTS.get(code, ""))
    hint = BATCH_HINT if BATCH.search(str(error)) else ""
    return ModelError("E309", f"{name} does not run", cause=text, hint=hint)


def unknown_operator(text: str, source: str | bytes) -> str:
    """Which node uses the operator that ONNX Runtime does not know; "" where that cannot be told."""
    match = UNKNOWN.search(text)
    if match is None or not source:
        return ""
    domain, op_type = match[1] or "", match[2] or match[3]
    try:
        content = Path(source).read_bytes() if isinstance(source, str) else source
        graph = onnx.load_from_string(content).graph
    except (OSError, DecodeError):
        return ""
    users = [node for node in graph.node if node.op_type == op_type and node.domain.endswith(domain)]
    operator = f"{domain}::{op_type}" if domain else op_type
    return f"node {users[0].name or op_type} uses {operator}, unknown to onnxruntime" if users else ""

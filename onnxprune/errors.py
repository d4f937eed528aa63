"""The errors a user can meet, each with its exit code.

    OnnxPruneError            exit
    ├── UsageError            2   options, targets, outputs that exist
    ├── ModelError            3   unreadable or invalid model
    ├── UnsupportedError      4   valid, but cannot be pruned
    ├── DataError             5   samples, labels, metrics
    ├── RuntimeProblem        6   provider, ONNX Runtime, memory, disk
    ├── TargetError           7   no mask meets the target
    ├── VerificationError     8   the pruned model is not what was promised
    └── GateError             9   a comparison's bound does not hold

The library raises them; only the command line prints them.
"""

from typing import ClassVar


class OnnxPruneError(Exception):
    """What happened, where, and what to do.

    Args:
        code: Row of the error catalogue, such as "E301".
        message: One line: what, where (file, node, operator, axis), got, expected.
        cause: What lies underneath, where that helps.
        hint: What to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, cause: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UsageError(OnnxPruneError):
    """Options that make no sense, or an output that exists."""

    exit_code = 2


class ModelError(OnnxPruneError):
    """The model file is missing, damaged or invalid."""

    exit_code = 3


class UnsupportedError(OnnxPruneError):
    """The model is valid, but nothing in it can be pruned, or it cannot run."""

    exit_code = 4


class DataError(OnnxPruneError):
    """The samples do not fit the model or the metric."""

    exit_code = 5


class RuntimeProblem(OnnxPruneError):
    """ONNX Runtime, an execution provider, memory or disk is not as needed."""

    exit_code = 6


class TargetError(OnnxPruneError):
    """No masks reach the target."""

    exit_code = 7


class VerificationError(OnnxPruneError):
    """The pruned model failed a check; nothing was written."""

    exit_code = 8


class GateError(OnnxPruneError):
    """A bound of `compare --gate` does not hold."""

    exit_code = 9

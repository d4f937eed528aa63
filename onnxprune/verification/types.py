"""What a verification says: one check after the other, each passed, failed or skipped with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.groups import Groups

Bits = NDArray[np.bool_]
Feeds = Mapping[str, NDArray[Any]]
Pruner = Callable[[Groups, Mapping[str, Bits]], ModelProto]

FORMAT = 1


class Status(StrEnum):
    """Outcome of one check. SKIP is no success: it says that nothing was proven, and why."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"


class CostLike(Protocol):
    """A cost, as `onnxprune.cost.Cost`."""

    @property
    def macs(self) -> int: ...
    @property
    def params(self) -> int: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class VerifyOptions:
    """How to verify.

    Attributes:
        rtol: Largest difference relative to the largest output; None: by the types of the model (1e-4 for
            float32, see `compare.tolerance_of`).
        atol: Largest difference in any case.
        inputs: How many feeds of `samples` are run at most.
        seed: Of the random inputs.
        cost: What the pruned model was promised to cost; None: the recount is skipped.
        prune: Makes the model of other masks. Needed to prove the law where channels went that a statistic
            (LayerNormalization, a mean over channels) runs over.
        retrained: Weights were changed after pruning: their values and the law are not compared.
        extensions: Libraries with custom operators for ONNX Runtime.
    """

    rtol: float | None = None
    atol: float = 1e-6
    inputs: int = 8
    seed: int = 0
    cost: CostLike | None = None
    prune: Pruner | None = None
    retrained: bool = False
    extensions: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: What was checked.
        status: Outcome.
        detail: What was seen, or why it was skipped.
        faults: What is wrong, one line each; empty unless the status is FAIL.
        figures: Numbers behind the detail, such as max_abs and inputs.
    """

    name: str
    status: Status
    detail: str = ""
    faults: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}  {self.name}" + (f"   {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class VerificationReport:
    """All checks of one verification.

    >>> report = verify(Path("model.onnx"), Path("pruned.onnx"))
    >>> print(report.checks[0])
    PASS  channels fit at every node   74 of 74 nodes
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """No check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status is Status.FAIL)

    @property
    def skipped(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status is Status.SKIP)

    def __getitem__(self, name: str) -> Check:
        """The check whose name begins so."""
        for check in self.checks:
            if check.name.startswith(name):
                return check
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Plain values for verify.json."""
        return {
            "format": FORMAT,
            "ok": self.ok,
            "checks": [
                {
                    "name": check.name,
                    "status": str(check.status),
                    "detail": check.detail,
                    "faults": list(check.faults),
                    "figures": dict(check.figures),
                }
                for check in self.checks
            ],
        }


def passed(name: str, detail: str = "", **figures: float) -> Check:
    return Check(name, Status.PASS, detail, figures=figures)


def skipped(name: str, reason: str) -> Check:
    return Check(name, Status.SKIP, reason)


def judged(name: str, faults: list[str], detail: str = "", **figures: float) -> Check:
    """PASS with the detail, or FAIL with the faults, the first of them as detail."""
    if not faults:
        return passed(name, detail, **figures)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Check(name, Status.FAIL, faults[0] + more, tuple(faults), figures)

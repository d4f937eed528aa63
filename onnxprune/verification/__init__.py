"""Proof that a pruned model is what was promised.

    report = verify(graph, pruned, masks=masks, groups=groups, options=VerifyOptions(cost=cost, prune=prune))
    require_ok(report)

The checks: channels fit at every node, the contract holds, kept weights are bit-identical, the cost is as
promised, the ONNX checker passes, the model runs with all optimisations and with none, and it gives what the
masked original gives. What cannot be checked is skipped with the reason, never passed.
"""

from onnxprune.verification.channels import first_fault
from onnxprune.verification.recovery import CannotRecover, recover_masks
from onnxprune.verification.types import Check, Status, VerificationReport, VerifyOptions
from onnxprune.verification.verify import require_ok, verify

__all__ = [
    "CannotRecover",
    "Check",
    "Status",
    "VerificationReport",
    "VerifyOptions",
    "first_fault",
    "recover_masks",
    "require_ok",
    "verify",
]

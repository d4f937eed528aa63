"""A verification, printed."""

from onnxprune.cli.console import Output
from onnxprune.verification import Status, VerificationReport

STYLES = {Status.FAIL: "red", Status.SKIP: "yellow"}


def print_report(output: Output, report: VerificationReport) -> None:
    for check in report.checks:
        output.line(f" {check}", STYLES.get(check.status, ""))
        for fault in check.faults[1:]:
            output.detail(f"       {fault}")

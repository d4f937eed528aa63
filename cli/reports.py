"""A verification, printed."""

from onnxprune.cli.console import Output
from onnxprune.verification import VerificationReport


def print_report(output: Output, report: VerificationReport) -> None:
    for check in report.checks:
        output.line(f" {check}")
        for fault in check.faults[1:]:
            output.detail(f"       {fault}")

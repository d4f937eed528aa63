"""`onnxprune doctor`: whether this machine can do what is asked of it."""

from dataclasses import asdict
from pathlib import Path
from textwrap import wrap

import click

from onnxprune.cli.console import Output
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options, provider_option
from onnxprune.errors import RuntimeProblem
from onnxprune.measurement.doctor import Check, Diagnosis, diagnose

TEXT = 104  # columns
SIGNS = {"ok": " ok", "warning": " !", "error": " BROKEN"}
STYLES = {"ok": "", "warning": "yellow", "error": "red"}


@click.command("doctor", cls=Command)
@click.argument("model", required=False, type=FILE)
@output_options("doctor")
@provider_option
def command(output: Output, model: Path | None, provider: str) -> None:
    """Versions, execution providers that really load, how busy the machine is; and whether MODEL runs.

    \b
        onnxprune doctor
        onnxprune doctor model.onnx --provider cuda

    Exit code 6 where something is broken, or where the --provider that is named does not run.
    """
    found = diagnose(model, provider=provider)
    for check in found.checks:
        print_check(output, check)
    output.line(verdict(found))
    output.finish(
        {
            "model": model,
            "provider": provider,
            "healthy": found.healthy,
            "checks": [*map(asdict, found.checks)],
        }
    )
    broken = next((check for check in found.checks if check.state == "error"), None)
    if found.error is not None:
        raise found.error
    if broken is not None:
        raise RuntimeProblem("E603", f"{broken.subject}: {broken.text}", hint=broken.hint)


def print_check(output: Output, check: Check) -> None:
    """One line, or several with a hanging indent; what is broken is told with its hint by the error."""
    sign, subject = SIGNS[check.state], check.subject
    hint = f"hint: {check.hint}" if check.hint and check.state != "error" else ""
    for part in (*wrap(check.text, TEXT), *wrap(hint, TEXT)):
        output.line(f"{sign:<7} {subject:<26} {part}", STYLES[check.state])
        sign = subject = ""


def verdict(found: Diagnosis) -> str:
    """The last line: whether all is well."""
    warnings = sum(check.state == "warning" for check in found.checks)
    if not found.healthy:
        return "\nSomething is broken; the error says what to do."
    return f"\nReady, with {warnings} warning{'s' * (warnings > 1)}." if warnings else "\nReady."

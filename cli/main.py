"""The `onnxprune` command: its subcommands by name, and what happens to errors."""

import importlib
import signal
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from onnxprune.cli.help import WIDTH, usage_error
from onnxprune.cli.streams import outlive_readers
from onnxprune.errors import OnnxPruneError, RuntimeProblem, UsageError
from onnxprune.version import VERSION

COMMANDS = {
    "doctor": "Whether this machine can do what is asked of it: versions, providers, load.",
    "inspect": "What a model costs, which channels can go, and why others cannot.",
    "prune": "Remove channels down to a target; verify, then write.",
    "search": "Let an agent choose what goes, judged by accuracy; resumable.",
    "reconstruct": "Repair a pruned model in closed form: no labels, no training.",
    "distill": "Win accuracy back: the pruned model learns from the original.",
    "compress": "The whole path: prune, reconstruct, distill, measure, report; resumable.",
    "study": "Agents on models for targets from seeds, compared fairly; resumable.",
    "verify": "Prove that a pruned model is what was promised.",
    "measure": "Accuracy on labelled samples, or agreement with the original.",
    "bench": "Honest latency of one or more models, interleaved.",
    "compare": "Two models side by side, and a gate for CI.",
    "demo": "The tour: prune a trained ResNet-20 on real CIFAR-10 images.",
}
INTERRUPTED, TERMINATED = 130, 143
OUT_OF_MEMORY = RuntimeProblem(
    "E605", "out of memory", hint="close other programs, or use a smaller --batch or --shape"
)


class LazyGroup(click.Group):
    """Imports a command's module when it is called, so that --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"onnxprune.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "`onnxprune --help` lists the commands"
            raise UsageError("E201", f"unknown command '{args[0]}'", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
)
@click.version_option(VERSION, prog_name="onnxprune")
def onnxprune() -> None:
    """Structured pruning of ONNX models: smaller, verified, measured.

    Results go to stdout, notes and warnings to stderr. Exit codes: 0 ok, 1 internal error, 2 usage, 3 model,
    4 not supported, 5 data, 6 environment, 7 target not reached, 8 verification failed, 9 gate failed,
    130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code; no traceback without --debug."""
    outlive_readers()
    signal.signal(signal.SIGTERM, terminate)
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def terminate(_number: int, _frame: object) -> NoReturn:
    """Leave by an exception, so that temporary files go."""
    raise SystemExit(TERMINATED)


def run(words: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        result: Any = onnxprune.main(args=words, prog_name="onnxprune", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted; nothing half-done is left behind", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return UsageError.exit_code
    except Exception as error:  # noqa: BLE001 - the border: whatever comes is told, with an exit code
        if "--debug" in words:
            traceback.print_exc()
        problem = problem_of(error)
        click.echo(str(problem), err=True)
        return problem.exit_code
    return result if isinstance(result, int) else 0


def problem_of(error: Exception) -> OnnxPruneError:
    """The error as a user should read it; what is unknown is a fault of ours, and said so."""
    if isinstance(error, OnnxPruneError):
        return error
    if isinstance(error, click.ClickException):
        return usage_error(error)
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("onnxprune"):
        needed = error.name.partition(".")[0]
        return RuntimeProblem("E603", f"{needed} is not installed", hint=f"pip install {needed}")
    return OnnxPruneError(
        "E101",
        f"internal error: {type(error).__name__}: {error}",
        hint="run it again with --debug and report what it prints, with the model if you may",
    )

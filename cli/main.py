"""The `onnxprune` command: its subcommands by name, and what happens to errors."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import click

from onnxprune.errors import OnnxPruneError, UsageError
from onnxprune.version import VERSION

COMMANDS = {
    "doctor": "Versions, execution providers that really load, how busy the machine is.",
    "inspect": "What a model holds, what it costs, which channels can go and why others cannot.",
    "prune": "Remove channels down to a target; verify, then write.",
    "verify": "Prove that a pruned model is what was promised.",
    "measure": "Accuracy on labelled samples, or agreement with the original.",
    "bench": "Honest latency of one or more models, interleaved.",
    "compare": "Two models side by side, and a gate for CI.",
    "demo": "The tour: prune a trained ResNet-20 on real CIFAR-10 images.",
}
INTERRUPTED = 130


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
            hint = f"did you mean {close[0]!r}?" if close else "onnxprune --help lists the commands"
            raise UsageError("E201", f"unknown command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="onnxprune")
def onnxprune() -> None:
    """Structured pruning of ONNX models: smaller, verified, measured.

    Results go to stdout, logs and progress to stderr. Exit codes: 0 ok, 2 usage, 3 model, 4 not supported,
    5 data, 6 environment, 7 target not reached, 8 verification failed, 9 gate failed, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code; no traceback without --debug."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:  # noqa: PLR0911 - one return for each way to end
    try:
        result: Any = onnxprune.main(args=words, prog_name="onnxprune", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OnnxPruneError as error:
        if "--debug" in words:
            traceback.print_exc()
        click.echo(str(error), err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away; Python would complain at exit
        return 0
    except MemoryError:
        click.echo(
            "error[E605]: out of memory\n  hint: close other programs or use a smaller batch", err=True
        )
        return 6
    except Exception as error:  # noqa: BLE001 - the border: what gets here is our fault, and said so
        return internal_error(error, words)
    return result if isinstance(result, int) else 0


def internal_error(error: Exception, words: list[str]) -> int:
    """A fault of ours: one line, and the traceback only with --debug."""
    if "--debug" in words:
        traceback.print_exc()
    click.echo(f"error[E101]: internal error: {type(error).__name__}: {error}", err=True)
    click.echo(
        "  hint: run again with --debug and report what it prints, with the model if you may", err=True
    )
    return 1

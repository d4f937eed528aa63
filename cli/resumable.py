"""Commands that work in a folder which can stop and go on."""

from collections.abc import Callable
from pathlib import Path

import click

from onnxprune.cli.help import Command
from onnxprune.errors import UsageError
from onnxprune.runs.config import Values
from onnxprune.runs.folder import RunFolder

INTERRUPTED = 130


class ResumableCommand(Command):
    """Keeps the words of the command line for the record."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and remember the words."""
        ctx.meta["argv"] = list(args)
        return super().parse_args(ctx, args)


def exit_code(end: BaseException) -> int:
    return end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else INTERRUPTED


def begin(
    places: tuple[Path | None, Path | None],
    start: Callable[[Path], RunFolder],
    resume: Callable[[Path, Values], RunFolder],
    values: Values,
) -> RunFolder:
    """A new run, or one to go on with.

    Args:
        places: The folder of a new one, and of one to go on with.
        start: Begins in a folder.
        resume: Goes on in a folder.
        values: Options that were given.

    Raises:
        UsageError: E201, neither place or both; and what `start` and `resume` refuse.
    """
    out, resumed = places
    if resumed is not None:
        if out is not None and out.absolute() != resumed.absolute():
            raise UsageError("E201", "--resume goes on in its own folder; -o names another one")
        return resume(resumed, values)
    if out is None:
        raise UsageError("E201", "missing option '-o' / '--out'", hint="-o runs/NAME, a folder")
    return start(out)

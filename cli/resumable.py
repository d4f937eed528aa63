"""Commands that work in a folder which can stop and go on."""

import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from onnxprune.cli.console import Output
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE
from onnxprune.cli.stop_request import StopRequest
from onnxprune.errors import UsageError
from onnxprune.runs.config import Schema, Values
from onnxprune.runs.folder import RunFolder
from onnxprune.runs.replaced import ASIDE

Function = Callable[..., Any]
INTERRUPTED = 130


class ResumableCommand(Command):
    """Keeps the words of the command line for the record."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and remember the words."""
        ctx.meta["argv"] = list(args)
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class Asked:
    """What the command line says of a run.

    Attributes:
        out: Folder of a new one.
        resumed: Folder of one to go on with.
        force: A run that lies where the new one shall be goes.
        values: Options that were given, by key; those of the configuration's file where they were not given.
        words: Keys of those that the command line itself gave.
    """

    out: Path | None
    resumed: Path | None
    force: bool
    values: Values
    words: Collection[str] = ()

    def begin(
        self, start: Callable[[Path], RunFolder], resume: Callable[[Path, Values], RunFolder]
    ) -> RunFolder:
        """A new run, or one to go on with.

        Args:
            start: Begins in a folder.
            resume: Goes on in a folder, with options that were given again.

        Raises:
            UsageError: E201, neither folder or both, or one to go on with and `force`; and what `start` and
                `resume` refuse.
        """
        out, resumed = self.out, self.resumed
        if resumed is not None:
            if out is not None and out.absolute() != resumed.absolute():
                raise UsageError("E201", "--resume goes on in its own folder; -o names another one")
            require_unforced(resumed, force=self.force)
            return resume(resumed, self.values)
        if out is None:
            raise UsageError("E201", "missing option '-o' / '--out'", hint="-o runs/NAME, a folder")
        return start(out)


def require_unforced(resumed: Path, *, force: bool) -> None:
    """Raises: UsageError: E201, a run is to go on and to begin anew."""
    if force:
        raise UsageError(
            "E201",
            f"--resume {resumed} goes on with a run, and --force begins one anew",
            hint="leave one of them out; a new run wants -o",
        )


def run_options(
    schema: Schema[Any], configured: Callable[[Function], Function], *, result: str
) -> Callable[[Function], Function]:
    """Adds the model, where a run lies, and what decides it; the command gets them as one `asked`.

    Args:
        schema: Of what decides it.
        configured: Adds the options for that, as `configured_options` gives it.
        result: What in the folder is the result.
    """
    options = (
        click.argument("model", required=False, type=FILE),
        click.option("-o", "--out", type=FILE, help=f"Folder of the run; {result} in it is the result."),
        click.option("--resume", "resumed", type=FILE, metavar="RUN", help="Go on where a run stopped."),
        click.option(
            "--config", type=FILE, metavar="FILE", help="Options from a TOML file; given ones go before."
        ),
        click.option("--force", is_flag=True, help="Start anew where a run lies."),
    )

    def decorate(function: Function) -> Function:
        @wraps(function)
        def taking(
            model: Path | None,
            out: Path | None,
            resumed: Path | None,
            config: Path | None,
            force: bool,
            given: Values,
            **values: Any,
        ) -> Any:
            own = {"model": str(model)} if model else {}
            asked = (schema.read(config) if config else {}) | given | own
            return function(asked=Asked(out, resumed, force, asked, given), **values)

        run = configured(taking)
        for option in reversed(options):
            run = option(run)
        return run

    return decorate


def tell_saved(output: Output, run: RunFolder, request: StopRequest, end: BaseException) -> int:
    """Tell how a run that was interrupted goes on; its exit code."""
    note_saved(output, run.record["command"], run.path)
    output.finish({"run": run.path, "status": run.record["status"]})
    if request.asked:
        return request.exit_code
    return end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else INTERRUPTED


def note_saved(output: Output, command: str, run: Path) -> None:
    """Tell how to go on, and where the run lies that `--force` is about to replace."""
    output.note(f"saved; continue with: onnxprune {command} --resume {shlex.quote(str(run))}")
    if (run / ASIDE).is_dir():
        output.note(f"what --force replaces is kept in {run / ASIDE} until the new run can do without it")

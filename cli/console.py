"""What a command prints: tables on stdout, notes on stderr, or one JSON document."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from onnxprune.errors import UsageError

SCHEMA = 1
PIPED_WIDTH = 140
NUMBER = re.compile(r"[-+±~<>]?\d")


@dataclass
class Output:
    """Where the results of one command go.

    Attributes:
        json_to: "-" for stdout, a path, or None for tables.
        verbosity: -1 quiet, 0 normal, 1 and more verbose.
        color: False with --no-color or NO_COLOR.
    """

    command: str
    json_to: str | None = None
    verbosity: int = 0
    color: bool = True

    def __post_init__(self) -> None:
        plain = None if self.color else True
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        self._out = Console(no_color=plain, highlight=False, width=width)
        self._err = Console(no_color=plain, highlight=False, stderr=True, soft_wrap=True)

    @property
    def tables(self) -> bool:
        return self.json_to != "-"

    def line(self, text: str = "") -> None:
        """A line of the result."""
        if self.tables:
            self._out.print(text, markup=False, soft_wrap=True)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of the result; columns of numbers are set flush right."""
        if not self.tables:
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for index, heading in enumerate(headings):
            numbers = all(NUMBER.match(row[index]) for row in rows if row[index])
            table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._out.print(table)

    def note(self, text: str) -> None:
        """What goes on; not part of the result."""
        if self.verbosity >= 0:
            self._err.print(text, markup=False)

    def detail(self, text: str) -> None:
        if self.verbosity > 0:
            self._err.print(text, markup=False)

    def warn(self, text: str) -> None:
        self._err.print(f"! {text}", markup=False, style="yellow")

    def finish(self, document: dict[str, Any]) -> None:
        """Write the JSON document, where one was asked for; atomic for files."""
        if self.json_to is None:
            return
        text = json.dumps(
            {"schema": SCHEMA, "command": self.command, **document}, indent=2, default=plain_value
        )
        if self.json_to == "-":
            click.echo(text)
            return
        path = Path(self.json_to)
        part = path.with_name(f".{path.name}.part")
        part.write_text(text + "\n")
        part.replace(path)

    @contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar on stderr where that is a terminal; yields a function that takes the steps done so far."""
        columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        hidden = self.verbosity < 0 or not self._err.is_terminal
        with Progress(*columns, console=self._err, disable=hidden, transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)


def escape(cell: str) -> str:
    return cell.replace("[", r"\[")


def plain_value(value: Any) -> Any:
    """Numpy scalars, paths and sets as JSON."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def check_json_target(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """--json takes the next word if that is no option: never let it be a model."""
    if value is None or value == "-" or value.endswith(".json"):
        return value
    raise click.BadParameter(f"{value!r} must end in .json, or be - for stdout (the default)")


def output_options(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that every command has; the command gets them as one `output`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(
            "--json",
            "json_to",
            is_flag=False,
            flag_value="-",
            metavar="[FILE|-]",
            callback=check_json_target,
            help="One JSON document instead of tables (-), or beside them (FILE.json).",
        )
        @click.option("-q", "--quiet", is_flag=True, help="No notes and no progress.")
        @click.option("-v", "--verbose", count=True, help="More notes.")
        @click.option("--no-color", is_flag=True, help="No colours (NO_COLOR works too).")
        @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
        @wraps(function)
        def run(
            json_to: str | None, quiet: bool, verbose: int, no_color: bool, debug: bool, **values: Any
        ) -> Any:
            output = Output(command, json_to, -1 if quiet else verbose, not no_color)
            return function(output=output, **values)

        return run

    return decorate


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`name:1,3,224,224` as a mapping.

    Raises:
        UsageError: E205.
    """
    shapes = {}
    for text in texts:
        name, _, numbers = text.rpartition(":")
        try:
            extents = tuple(int(n) for n in numbers.replace("x", ",").split(","))
        except ValueError:
            extents = ()
        if not name or not extents or min(extents) < 1:
            raise UsageError("E205", f"--shape {text!r}: want NAME:1,3,224,224")
        shapes[name] = extents
    return shapes

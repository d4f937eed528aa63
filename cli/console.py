"""What a command prints: tables on stdout, notes and warnings on stderr, or one JSON document."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from onnxprune.cli import json_document

WIDTH = 140  # where stdout is no terminal
NUMBER = re.compile(r"-|[-+±~<>]?\d[\d.,/]*( ?(%|[a-zA-Z]{1,3}))?")


@dataclass
class Output:
    """Where the results of one command go.

    Attributes:
        command: Its name.
        json_to: "-" for stdout, a path, or None for tables alone.
        verbosity: -1 quiet, 0 normal, 1 and more verbose.
        color: False with --no-color or NO_COLOR.
        warned: The warnings so far, each once.
        finished: The JSON document has been written, where one was asked for.
    """

    command: str
    json_to: str | None = None
    verbosity: int = 0
    color: bool = True
    warned: list[str] = field(default_factory=list)
    finished: bool = False

    def __post_init__(self) -> None:
        self._gap = False  # the last line is an empty one
        self._out = console(color=self.color, width=None if sys.stdout.isatty() else WIDTH)
        self._err = console(color=self.color, stderr=True, soft_wrap=True)

    @property
    def tables(self) -> bool:
        return self.json_to != json_document.STDOUT

    def line(self, text: str = "", style: str = "") -> None:
        """A line of the result."""
        if self.tables:
            self._gap = False
            self._out.print(text, markup=False, soft_wrap=True, style=style)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of the result; columns of numbers are set flush right."""
        if not self.tables:
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for index, heading in enumerate(headings):
            numbers = all(NUMBER.fullmatch(row[index]) for row in rows if row[index])
            table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        with self._out.capture() as capture:
            self._out.print(table)
        lines = (line.rstrip() for line in capture.get().splitlines())
        self._out.file.write(("" if self._gap else "\n") + "\n".join(lines) + "\n\n")
        self._gap = True

    def note(self, text: str) -> None:
        """What goes on; not part of the result."""
        if self.verbosity >= 0:
            self._err.print(text, markup=False)

    def detail(self, text: str) -> None:
        """A note for those who ask for more with -v."""
        if self.verbosity > 0:
            self._err.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Something that limits the result; once, however often it is said."""
        if text not in self.warned:
            self.warned.append(text)
            self._err.print(f"! {text}", markup=False, style="yellow")

    def finish(self, document: dict[str, Any]) -> None:
        """Write the JSON document, where one was asked for, with all warnings."""
        if self.json_to is not None and not self.finished:
            json_document.write({**document, "warnings": self.warned}, self.command, self.json_to)
        self.finished = True

    @contextmanager
    def progress(
        self, label: str, total: int | None, *, worded: bool = False
    ) -> Iterator[Callable[..., None]]:
        """A bar on stderr where that is a terminal; yields a function that takes the steps done so far.

        Args:
            label: Before the bar.
            total: Steps; None where that is not known.
            worded: The function takes a `text` too, which stands behind the bar in place of the time left.
        """
        last = TextColumn("{task.fields[text]}") if worded else TimeRemainingColumn()
        columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), last)
        hidden = self.verbosity < 0 or not self._err.is_terminal
        with Progress(*columns, console=self._err, disable=hidden, transient=True) as bar:
            task = bar.add_task(label, total=total, text="")
            yield lambda done, of=total, text="": bar.update(task, completed=done, total=of, text=text)


def console(*, color: bool, **options: Any) -> Console:
    """A console; without colours it writes no escape sequences at all."""
    plain = not color or bool(os.environ.get("NO_COLOR"))
    if plain:
        options |= {"color_system": None}
    return Console(highlight=False, no_color=plain, **options)

"""How the options of a command are listed, and how its usage errors read."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import ClassVar

import click

from onnxprune.errors import UsageError

WIDTH = 100
OWN = "Options"
SECTIONS = {
    "Measurement": (
        *("provider", "require-provider", "threads", "batch", "warmup", "duration", "per-node", "no-latency"),
        "latency-cache",
    ),
    "Data": (
        *("data", "map", "part", "samples", "layout", "mean", "std", "scale", "resize", "crop", "colors"),
    ),
    "Output": ("json", "quiet", "verbose", "no-color", "debug", "help"),
}


class Command(click.Command):
    """A command whose options are listed by what they are about.

    Attributes:
        sections: Names of options by section, in the order in which they are told.
    """

    sections: ClassVar[Mapping[str, Collection[str]]] = SECTIONS

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; those of the command itself first."""
        rows = defaultdict(list)
        section_of = {name: section for section, names in self.sections.items() for name in names}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                section = section_of.get(parameter.opts[-1].lstrip("-"), OWN)
                rows[section].append(row)
        for section in (OWN, *self.sections):
            if rows[section]:
                with formatter.section(section):
                    formatter.write_dl(rows[section])


def usage_error(error: click.ClickException) -> UsageError:
    """What click found wrong, in our form: what, and what would have been right."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "onnxprune"
    hint = f"`{path} --help` lists the options"
    if isinstance(error, click.NoSuchOption):
        near = get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=0)
        hint = f"did you mean {near[0]}?" if near else hint
        return UsageError("E201", f"unknown option '{error.option_name}'", hint=hint)
    message = error.format_message().rstrip(".")
    return UsageError("E201", message[:1].lower() + message[1:], hint=hint)

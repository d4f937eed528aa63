"""Options that several commands share, and what they mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click

from onnxprune.cli import json_document
from onnxprune.cli.console import Output
from onnxprune.data.options import parse_shapes
from onnxprune.errors import OnnxPruneError
from onnxprune.latency import WatchOptions
from onnxprune.target import Constraints, parse_min_keep, resolve_align

Function = Callable[..., Any]
Shapes = dict[str, tuple[int, ...]]
FILE = click.Path(path_type=Path)

shape_option = click.option(
    *("--shape", "shapes"), multiple=True, metavar="NAME:1,3,224,224", help="Extents of a free input."
)
provider_option = click.option(
    "--provider",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, cpu, cuda, tensorrt, or a full name.",
)
require_option = click.option(
    "--require-provider", is_flag=True, help="Fail where another provider runs the model."
)
heads_option = click.option(
    "--heads", is_flag=True, help="Whole attention heads (or groups of a Conv), not channels within all."
)


@dataclass(frozen=True)
class Choice:
    """Which channels of a model may go.

    Attributes:
        constraints: Alignment and least kept counts.
        skip, only: Patterns of what to leave alone, of what alone to prune.
        heads: Whole attention heads instead of equal indices of all heads.
        shapes: Extents to assume for free inputs.
        latency: Where it is measured.
    """

    constraints: Constraints = field(default_factory=Constraints)
    skip: Sequence[str] = ()
    only: Sequence[str] = ()
    heads: bool = False
    shapes: Shapes = field(default_factory=dict)
    latency: WatchOptions = field(default_factory=WatchOptions)


CHOICE = (
    click.option("--skip", multiple=True, metavar="REGEX", help="Leave what matches alone; repeatable."),
    click.option("--only", multiple=True, metavar="REGEX", help="Prune only what matches; repeatable."),
    click.option(
        "--min-keep",
        default="10%",
        show_default=True,
        metavar="SHARE",
        help="Least share, or number, of channels kept in each group.",
    ),
    click.option(
        "--align",
        default="auto",
        show_default=True,
        metavar="N",
        help="auto: what the provider's kernels like; else a number of channels, 1 for none.",
    ),
    click.option(
        *("--device", "--provider", "device"),
        default="cpu",
        show_default=True,
        metavar="NAME",
        help="Where the model will run, for --align auto and latencies: cpu, cuda, tensorrt, xnnpack, ...",
    ),
    heads_option,
    shape_option,
)


def choice_options(function: Function) -> Function:
    """Adds the options of a `Choice`; the command gets them as one `choice`."""

    @wraps(function)
    def run(align: str, device: str, min_keep: str, shapes: Sequence[str], **values: Any) -> Any:
        chosen = {name: values.pop(name) for name in ("skip", "only", "heads")}
        constraints = Constraints(
            align=resolve_align(align, provider=device), min_keep=parse_min_keep(min_keep)
        )
        choice = Choice(
            constraints, shapes=parse_shapes(shapes), latency=WatchOptions(provider=device), **chosen
        )
        return function(choice=choice, **values)

    for option in reversed(CHOICE):
        run = option(run)
    return run


OUTPUT = (
    click.option(
        "--json",
        "json_to",
        is_flag=False,
        flag_value=json_document.STDOUT,
        metavar="[FILE|-]",
        callback=json_document.check_target,
        help="One JSON document instead of tables (-), or beside them (FILE.json).",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No notes and no progress."),
    click.option("-v", "--verbose", count=True, help="More notes."),
    click.option("--no-color", is_flag=True, help="No colours (NO_COLOR works too)."),
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
)


def output_options(command: str) -> Callable[[Function], Function]:
    """Options that every command has; it gets them as one `output`. An error goes into the document too."""

    def decorate(function: Function) -> Function:
        @wraps(function)
        def run(
            json_to: str | None, quiet: bool, verbose: int, no_color: bool, debug: bool, **values: Any
        ) -> Any:
            output = Output(command, json_to, -1 if quiet else verbose, not no_color)
            try:
                return function(output=output, **values)
            except OnnxPruneError as error:
                output.finish({"error": error_document(error)})
                raise

        for option in reversed(OUTPUT):
            run = option(run)
        return run

    return decorate


def error_document(error: OnnxPruneError) -> dict[str, Any]:
    return {**vars(error), "exit_code": error.exit_code}

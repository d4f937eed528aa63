"""Options that say which samples a command reads and how they become inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

import click

from onnxprune.cli.option_texts import IMAGES
from onnxprune.data import DataOptions, Samples, choose, open_data
from onnxprune.data.options import ImageText, Part, parse_images, parse_map
from onnxprune.data.samples import ModelInput

PARTS = ("fit", "search", "test")


@dataclass(frozen=True)
class DataSource:
    """Samples that are opened once the model's inputs are known."""

    spec: str | None
    options: DataOptions
    count: int | None = None

    @property
    def part(self) -> Part | None:
        """The part that was asked for."""
        return self.options.part

    def open(self, inputs: Sequence[ModelInput], *, part: Part | None = None) -> Samples | None:
        """The samples, or None where no data was given; `part` unless --part names another one.

        Raises:
            DataError: E501 to E503.
        """
        if self.spec is None:
            return None
        options = self.options
        if part is not None and options.part is None:
            options = DataOptions(**{**vars(options), "part": part})
        samples = open_data(self.spec, inputs=inputs, options=options)
        return samples if self.count is None else choose(samples, self.count, seed=options.seed)


DATA = (
    click.option(
        *("--data", "spec"),
        metavar="SPEC",
        help="x.npz, x.npy, a folder of them or of images, CIFAR-10, module:function, or random.",
    ),
    click.option(
        *("--map", "renames"),
        multiple=True,
        metavar="KEY=INPUT",
        help="A key of the data for an input; repeatable.",
    ),
    click.option("--part", type=click.Choice(PARTS), help="Only this part of the data."),
    click.option(
        *("--samples", "count"),
        type=click.IntRange(1),
        metavar="N",
        help="At most so many rows, drawn by the seed.",
    ),
    *(click.option(f"--{name}", metavar=metavar, help=text) for name, (metavar, text) in IMAGES.items()),
)


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --data and its kin; the command gets them as one `data`."""

    @wraps(function)
    def run(
        spec: str | None, renames: tuple[str, ...], part: str | None, count: int | None, **values: Any
    ) -> Any:
        texts = {name: values.pop(name) for name in IMAGES}
        options = DataOptions(
            rename=parse_map(renames),
            images=parse_images(ImageText(**texts)),
            part=cast(Part | None, part),
            count=count or DataOptions.count,
            seed=values.get("seed", DataOptions.seed),
        )
        return function(data=DataSource(spec, options, count), **values)

    for option in reversed(DATA):
        run = option(run)
    return run

"""Options that say which samples a command reads and how they become inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

import click

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


IMAGE_TEXTS = ("layout", "mean", "std", "scale", "resize", "crop", "colors")
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
    click.option("--layout", metavar="nchw|nhwc", help="What the model wants of uint8 images."),
    click.option("--mean", metavar="R,G,B", help="Mean of each colour, of pixels scaled to [0, 1]."),
    click.option("--std", metavar="R,G,B", help="Standard deviation of each colour."),
    click.option("--scale", metavar="FACTOR", help="On the pixels, before mean and std; 1/255 by default."),
    click.option("--resize", metavar="SIZE", help="256 (shorter side) or 224x224; image files only."),
    click.option("--crop", metavar="HxW", help="From the middle, such as 224x224; image files only."),
    click.option("--colors", metavar="rgb|bgr|gray", help="What the model wants; image files only."),
)


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --data and its kin; the command gets them as one `data`."""

    @wraps(function)
    def run(
        spec: str | None, renames: tuple[str, ...], part: str | None, count: int | None, **values: Any
    ) -> Any:
        texts = {name: values.pop(name) for name in IMAGE_TEXTS}
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

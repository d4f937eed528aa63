"""How data is read: what only the user can know about it, never guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from onnxprune.errors import UsageError

Layout = Literal["nchw", "nhwc"]
Colors = Literal["rgb", "bgr", "gray"]
Part = Literal["fit", "search", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class ImageOptions:
    """From uint8 images to a model's input: (pixels * scale - mean) / std.

    Args:
        layout: Order of axes that the model wants.
        mean: One number a colour, in units of the scaled pixels; None for a model that takes uint8.
        std: As mean.
        scale: Factor on the pixels first; 1/255 gives [0, 1].
        resize: Height and width exactly, or the length of the shorter side; files only.
        crop: Height and width of the middle cut out after resizing; files only.
        colors: Order of colours that the model wants; files only, arrays keep theirs.
    """

    layout: Layout
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float = 1 / 255
    resize: tuple[int, int] | int | None = None
    crop: tuple[int, int] | None = None
    colors: Colors = "rgb"


@dataclass(frozen=True)
class DataOptions:
    """Everything about data that its files do not say.

    Args:
        rename: Key in the data -> input of the model.
        images: How uint8 images become inputs; None where the data is already preprocessed.
        part: Only this part; None for all (of data that comes divided: its test part).
        portions: Where undivided data is asked for a part: first and last rank of it, as fractions of all
            rows; None for those that every command takes.
        seed: Of the division into parts, and of random data.
        count: Rows of random data.
        shapes: Input -> concrete shape, for random data of inputs with unknown dimensions.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    images: ImageOptions | None = None
    part: Part | None = None
    portions: Mapping[Part, tuple[float, float]] | None = None
    seed: int = 0
    count: int = 64
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageText:
    """Image options as typed: `--layout nchw --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225`."""

    layout: str | None = None
    mean: str | None = None
    std: str | None = None
    scale: str | None = None
    resize: str | None = None
    crop: str | None = None
    colors: str | None = None


def parse_images(text: ImageText) -> ImageOptions | None:
    """The options that `text` spells, or None where it is empty.

        parse_images(ImageText(layout="nchw", mean="0.5", std="0.5", resize="256", crop="224x224"))

    Raises:
        UsageError: E201, a value that cannot be read or a `--layout` that is missing.
    """
    if text == ImageText():
        return None
    if text.layout is None:
        raise UsageError("E201", "image options need --layout", hint="--layout nchw or --layout nhwc")
    if (text.mean is None) != (text.std is None):
        raise UsageError(
            "E201", "--mean and --std go together", hint="give both, or neither for uint8 inputs"
        )
    mean, std = _floats("--mean", text.mean), _floats("--std", text.std)
    if mean is not None and std is not None and len(mean) != len(std):
        raise UsageError("E201", f"--mean has {len(mean)} numbers, --std has {len(std)}")
    if std is not None and 0.0 in std:
        raise UsageError("E201", "--std holds a zero; pixels are divided by it")
    return ImageOptions(
        layout=cast(Layout, _choice("--layout", text.layout, get_args(Layout))),
        mean=mean,
        std=std,
        scale=_scale(text.scale),
        resize=_resize(text.resize),
        crop=_size("--crop", text.crop),
        colors=cast(Colors, _choice("--colors", text.colors or "rgb", get_args(Colors))),
    )


def parse_map(texts: tuple[str, ...]) -> dict[str, str]:
    """Key in the data -> input of the model, from texts such as "x=input".

    Raises:
        UsageError: E201, a text without one "=" between two names.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (key, _, name) in zip(texts, pairs, strict=True):
        if not key or not name:
            raise UsageError("E201", f"--map {text}: want KEY=INPUT, such as --map x=input")
    return {key: name for key, _, name in pairs}


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`name:1,3,224,224` as a mapping.

    Raises:
        UsageError: E205.
    """
    shapes = {}
    for text in texts:
        name, _, numbers = text.rpartition(":")
        extents = numbers.replace("x", ",").split(",")
        if not name or not all(n.strip().isdecimal() and int(n) > 0 for n in extents):
            raise UsageError(
                "E205",
                f"--shape '{text}': want the input's name and its extents",
                hint="--shape input:1,3,224,224",
            )
        shapes[name] = tuple(int(n) for n in extents)
    return shapes


def _choice(option: str, text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        raise UsageError("E201", f"{option} {text}: must be one of {', '.join(choices)}")
    return text.lower()


def _floats(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError("E201", f"{option} {text}: want numbers such as 0.485,0.456,0.406") from error


def _scale(text: str | None) -> float:
    """The factor on the pixels, from a number or a fraction such as "1/255"."""
    if text is None:
        return 1 / 255
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError("E201", f"--scale {text}: want a number such as 1 or 1/255") from error


def _resize(text: str | None) -> tuple[int, int] | int | None:
    if text is not None and text.isdecimal() and int(text) > 0:
        return int(text)
    return _size("--resize", text)


def _size(option: str, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.lower().split("x")
    if not all(side.isdecimal() and int(side) > 0 for side in sides) or len(sides) not in (1, 2):
        raise UsageError("E201", f"{option} {text}: want HEIGHTxWIDTH, such as 224x224")
    return int(sides[0]), int(sides[-1])

"""Image options as typed on the command line."""

import pytest

from onnxprune.data.options import ImageOptions, ImageText, parse_images, parse_map
from onnxprune.errors import UsageError


def test_nothing_typed_means_no_images() -> None:
    assert parse_images(ImageText()) is None


def test_options_are_read_as_typed() -> None:
    text = ImageText(
        layout="NCHW", mean="0.485,0.456,0.406", std="0.2, 0.3, 0.4", resize="256", crop="224x192"
    )
    assert parse_images(text) == ImageOptions(
        "nchw", (0.485, 0.456, 0.406), (0.2, 0.3, 0.4), resize=256, crop=(224, 192)
    )


@pytest.mark.parametrize(("typed", "scale"), [("1", 1.0), ("1/255", 1 / 255), (None, 1 / 255)])
def test_the_scale_may_be_a_fraction(typed: str | None, scale: float) -> None:
    options = parse_images(ImageText(layout="nhwc", scale=typed))
    assert options is not None
    assert options.scale == scale


@pytest.mark.parametrize(
    "text",
    [
        ImageText(mean="0.5", std="0.5"),
        ImageText(layout="chwn"),
        ImageText(layout="nchw", mean="0.5"),
        ImageText(layout="nchw", mean="0.5,0.5", std="0.5"),
        ImageText(layout="nchw", mean="a", std="1"),
        ImageText(layout="nchw", mean="0", std="0"),
        ImageText(layout="nchw", resize="0"),
        ImageText(layout="nchw", resize="axb"),
        ImageText(layout="nchw", crop="1x2x3"),
        ImageText(layout="nchw", scale="1/0"),
        ImageText(layout="nchw", colors="cmyk"),
    ],
)
def test_nonsense_is_refused(text: ImageText) -> None:
    with pytest.raises(UsageError) as caught:
        parse_images(text)
    assert caught.value.code == "E201"


def test_maps_are_read_as_typed() -> None:
    assert parse_map(("x=input", "y=labels")) == {"x": "input", "y": "labels"}
    with pytest.raises(UsageError, match="KEY=INPUT"):
        parse_map(("x",))

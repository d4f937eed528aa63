"""Image folders: classes by folder name, nothing about preprocessing guessed."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.data.image_folder import read_image
from onnxprune.data.opening import open_data
from onnxprune.data.options import DataOptions, ImageOptions
from onnxprune.errors import DataError
from tests.data.inputs import Input

image_module = pytest.importorskip("PIL.Image")
INPUTS = (Input("i", ("n", 3, 8, 8)),)
PLAIN = ImageOptions("nchw", (0.0,) * 3, (1.0,) * 3)


def write(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.new("RGB", size, color).save(path)


def test_the_label_is_the_rank_of_the_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("ant", "bee", "cow")):
        for copy in range(5):
            write(tmp_path / name / f"{copy}.png", (number * 100, 0, 255))
    samples = open_data(str(tmp_path), inputs=INPUTS, options=DataOptions(images=PLAIN))
    (batch,) = samples.batches(100)
    assert samples.count == 15
    assert sorted(batch.labels.tolist()) == [0] * 5 + [1] * 5 + [2] * 5
    assert set(batch.labels[:8].tolist()) == {0, 1, 2}  # mixed, so that the first rows are of all classes
    np.testing.assert_allclose(batch.inputs["i"][:, 0, 0, 0], batch.labels * 100 / 255, rtol=1e-6)


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", (1, 2, 3))
    samples = open_data(str(tmp_path), inputs=INPUTS, options=DataOptions(images=PLAIN))
    assert not samples.labelled


def test_images_without_options_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.png", (1, 2, 3))
    with pytest.raises(DataError, match="never guessed"):
        open_data(str(tmp_path), inputs=INPUTS)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.png", (1, 2, 3))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.png is not an image") as caught:
        open_data(str(tmp_path), inputs=INPUTS, options=DataOptions(images=PLAIN))
    assert caught.value.code == "E501"


def test_images_of_another_size_need_resizing(tmp_path: Path) -> None:
    write(tmp_path / "a.png", (1, 2, 3), (20, 10))
    with pytest.raises(DataError, match=r"got float32 \[N,3,10,20\]"):
        open_data(str(tmp_path), inputs=INPUTS, options=DataOptions(images=PLAIN))
    resized = ImageOptions("nchw", PLAIN.mean, PLAIN.std, resize=8, crop=(8, 8))
    samples = open_data(str(tmp_path), inputs=INPUTS, options=DataOptions(images=resized))
    assert next(samples.batches(1)).inputs["i"].shape == (1, 3, 8, 8)


@pytest.mark.parametrize(("resize", "shape"), [(5, (5, 10)), ((6, 7), (6, 7)), (None, (10, 20))])
def test_resizing_keeps_the_ratio_unless_both_sides_are_given(tmp_path: Path, resize, shape) -> None:
    write(tmp_path / "a.png", (1, 2, 3), (20, 10))
    assert read_image(tmp_path / "a.png", ImageOptions("nchw", resize=resize)).shape == (1, *shape, 3)


def test_the_crop_is_the_middle(tmp_path: Path) -> None:
    pixels = np.zeros((9, 9, 3), np.uint8)
    pixels[3:6, 3:6] = 255
    image_module.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", ImageOptions("nchw", crop=(3, 3))) == 255).all()
    with pytest.raises(DataError, match="smaller than the crop"):
        read_image(tmp_path / "a.png", ImageOptions("nchw", crop=(10, 3)))


@pytest.mark.parametrize(("colors", "pixel"), [("rgb", [10, 20, 30]), ("bgr", [30, 20, 10])])
def test_colours_come_in_the_order_asked_for(tmp_path: Path, colors, pixel) -> None:
    write(tmp_path / "a.png", (10, 20, 30))
    assert read_image(tmp_path / "a.png", ImageOptions("nchw", colors=colors))[0, 0, 0].tolist() == pixel


def test_grey_has_one_colour(tmp_path: Path) -> None:
    write(tmp_path / "a.png", (10, 10, 10))
    assert read_image(tmp_path / "a.png", ImageOptions("nchw", colors="gray")).shape == (1, 8, 8, 1)

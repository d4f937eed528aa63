"""What does not fit the model is told before anything runs, with the way out."""

import re

import numpy as np
import pytest

from onnxprune.data.adapter import Adapter
from onnxprune.data.options import DataOptions, ImageOptions
from onnxprune.errors import DataError
from tests.data.inputs import IMAGE, VECTOR, Input


def refusal(arrays, inputs=VECTOR, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        Adapter("val.npz", inputs, DataOptions(**options)).batch(arrays)
    return caught.value


def test_other_names_are_told_with_the_map_that_mends_them() -> None:
    error = refusal({"x": np.ones((2, 3, 32, 32), np.float32)}, IMAGE)
    assert error.code == "E502"
    assert error.message == "val.npz has keys [x], model wants [input]"
    assert error.hint == "use --map x=input"


@pytest.mark.parametrize("rename", [{"nokey": "x"}, {"y": "noinput"}])
def test_a_map_that_does_not_apply_is_an_error(rename: dict[str, str]) -> None:
    error = refusal({"x": np.ones((2, 4), np.float32), "y": np.ones(2)}, rename=rename)
    assert (error.code, error.cause[:6]) == ("E502", "--map ")


TWO = (Input("x", ("N", 4)), Input("mask", ("N", 4)))


@pytest.mark.parametrize(
    ("keys", "rename", "hint"),
    [
        (("x", "m"), {}, "use --map m=mask"),
        (("x",), {}, "add a key mask to the data"),
        (("a", "b"), {"a": "x"}, "use --map b=mask"),
        (
            ("x", "mask"),
            {"a": "b"},
            "leave that --map out: each input has its key; labels want --map KEY=labels",
        ),
        (("x", "mask", "y"), {"y": "label"}, "leave that --map out: each input has its key"),
    ],
)
def test_what_mends_names_that_differ_is_told(
    keys: tuple[str, ...], rename: dict[str, str], hint: str
) -> None:
    error = refusal({key: np.ones((2, 4), np.float32) for key in keys}, TWO, rename=rename)
    assert error.hint.startswith(hint)


def test_an_nhwc_array_of_doubles_is_told_as_such() -> None:
    inputs = (Input("input", ("N", 3, 224, 224)),)
    error = refusal({"input": np.ones((1, 224, 224, 3))}, inputs)
    assert error.code == "E503"
    assert "got float64 [N,224,224,3], want float32 [N,3,224,224]; looks like NHWC" in error.message
    assert error.hint == "save array.transpose(0, 3, 1, 2).astype('float32')"


def test_an_nchw_array_for_an_nhwc_model_is_told_as_such() -> None:
    error = refusal({"i": np.ones((1, 3, 8, 9), np.float32)}, (Input("i", ("N", 8, 9, 3)),))
    assert error.message.endswith("looks like NCHW")


@pytest.mark.parametrize(
    "array", [np.ones((2, 5), np.float32), np.ones((2, 4, 1), np.float32), np.ones((2, 4), int)]
)
def test_another_shape_or_dtype_is_refused(array: np.ndarray) -> None:
    assert refusal({"x": array}).code == "E503"


def test_a_missing_batch_axis_is_told() -> None:
    assert refusal({"x": np.ones(4, np.float32)}).hint == "add the batch axis: array[None]"


def test_raw_uint8_images_ask_for_their_normalisation() -> None:
    error = refusal({"input": np.zeros((2, 32, 32, 3), np.uint8)}, IMAGE)
    assert "--mean" in error.hint
    assert "--layout" in error.hint


def test_the_batch_axis_and_symbolic_extents_are_free() -> None:
    batch = Adapter("d", (Input("x", (1, "w", None)),), DataOptions()).batch(
        {"x": np.ones((7, 3, 2), np.float32)}
    )
    assert len(batch) == 7


def test_labels_and_inputs_must_have_the_same_number_of_rows() -> None:
    error = refusal({"x": np.ones((3, 4), np.float32), "labels": np.arange(2)})
    assert re.search("x 3, labels 2", error.message)


def test_labels_must_be_numbers() -> None:
    assert refusal({"x": np.ones((1, 4), np.float32), "labels": np.array(["cat"])}).code == "E503"


def test_a_model_input_called_labels_gets_the_labels_as_input() -> None:
    inputs = (*VECTOR, Input("labels", (1,), np.dtype(np.int64)))
    arrays = {"x": np.ones((2, 4), np.float32), "labels": np.arange(2)}
    batch = Adapter("d", inputs, DataOptions()).batch(arrays)
    assert batch.labels is None
    assert batch.inputs["labels"].tolist() == [0, 1]


def test_bfloat16_that_lost_its_name_in_the_file_is_known_by_the_model() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    inputs = (Input("x", (1, 4), np.dtype(ml_dtypes.bfloat16)),)
    saved = np.ones((2, 4), ml_dtypes.bfloat16).view("V2")
    assert (
        Adapter("d", inputs, DataOptions()).batch({"x": saved}).inputs["x"].astype(float).tolist()
        == [[1] * 4] * 2
    )


IMAGENET = ImageOptions("nchw", (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))


@pytest.mark.parametrize("turn", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_the_colour_axis_is_found_by_the_length_of_the_mean(turn: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    adapter = Adapter("d", IMAGE, DataOptions(images=IMAGENET))
    got = adapter.batch({"input": images.transpose(turn)}).inputs["input"]
    expected = ((images / 255 - IMAGENET.mean) / IMAGENET.std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_grey_images_need_no_colour_axis() -> None:
    images = ImageOptions("nhwc", (0.5,), (0.5,))
    adapter = Adapter("d", (Input("i", ("n", 4, 4, 1)),), DataOptions(images=images))
    got = adapter.batch({"i": np.full((2, 4, 4), 255, np.uint8)}).inputs["i"]
    assert got.shape == (2, 4, 4, 1)
    assert (got == 1).all()


def test_a_model_of_uint8_takes_pixels_as_they_are() -> None:
    inputs = (Input("i", ("n", 3, 4, 5), np.dtype(np.uint8)),)
    pixels = np.arange(60, dtype=np.uint8).reshape(1, 4, 5, 3)
    got = Adapter("d", inputs, DataOptions(images=ImageOptions("nchw"))).batch({"i": pixels}).inputs["i"]
    np.testing.assert_array_equal(got, pixels.transpose(0, 3, 1, 2))
    assert refusal({"i": pixels}, inputs, images=IMAGENET).code == "E503"


def test_images_with_other_colours_than_the_mean_are_refused() -> None:
    error = refusal({"input": np.zeros((1, 32, 32, 4), np.uint8)}, IMAGE, images=IMAGENET)
    assert "no axis of (1, 32, 32, 4) has 3 colours" in error.message

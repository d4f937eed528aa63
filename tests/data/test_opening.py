"""Every form of data of ux.md, opened."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.data.cifar import MEAN, STD
from onnxprune.data.opening import open_data
from onnxprune.data.options import DataOptions, ImageOptions
from onnxprune.data.samples import Batch, Samples
from onnxprune.errors import DataError
from tests.data.inputs import IMAGE, VECTOR, Input

NORMALISED = DataOptions(images=ImageOptions("nchw", tuple(MEAN.tolist()), tuple(STD.tolist())))


def everything(samples: Samples) -> Batch:
    (batch,) = samples.batches(10_000)
    return batch


def test_an_npz_file_gives_inputs_by_name_and_labels(tmp_path: Path) -> None:
    x, labels = np.random.default_rng(0).random((10, 4), np.float32), np.arange(10)
    np.savez(tmp_path / "val.npz", x=x, labels=labels)
    samples = open_data(str(tmp_path / "val.npz"), inputs=VECTOR)
    assert (samples.count, samples.labelled, samples.synthetic) == (10, True, False)
    np.testing.assert_array_equal(everything(samples).inputs["x"], x)
    np.testing.assert_array_equal(everything(samples).labels, labels)


def test_an_npz_file_is_renamed_by_the_map(tmp_path: Path) -> None:
    np.savez(tmp_path / "val.npz", images=np.ones((3, 4), np.float32), y=np.arange(3))
    options = DataOptions(rename={"images": "x", "y": "labels"})
    batch = everything(open_data(str(tmp_path / "val.npz"), inputs=VECTOR, options=options))
    assert batch.inputs["x"].shape == (3, 4)
    assert batch.labels.tolist() == [0, 1, 2]


def test_an_npy_file_feeds_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 4), np.float32))
    samples = open_data(str(tmp_path / "x.npy"), inputs=VECTOR)
    assert not samples.labelled
    assert everything(samples).inputs["x"].shape == (5, 4)


def test_an_npy_file_for_several_inputs_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 4), np.float32))
    with pytest.raises(DataError, match=r"model wants \[a, b\]") as caught:
        open_data(str(tmp_path / "x.npy"), inputs=(Input("a", (1, 4)), Input("b", (1, 4))))
    assert caught.value.code == "E502"


def test_a_folder_of_npz_files_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for number in range(3):
        x = np.full((number + 1, 4), number, np.float32)
        np.savez(tmp_path / f"part{number}.npz", x=x, labels=np.full(number + 1, number))
    batch = everything(open_data(str(tmp_path), inputs=VECTOR))
    assert batch.labels.tolist() == [0, 1, 1, 2, 2, 2]
    assert batch.inputs["x"][:, 0].tolist() == [0, 1, 1, 2, 2, 2]


def test_a_folder_of_npy_files_without_a_batch_axis_has_a_row_a_file(tmp_path: Path) -> None:
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", np.full(4, number, np.float32))
    np.save(tmp_path / "labels.npy", np.arange(4))
    samples = open_data(str(tmp_path), inputs=VECTOR)
    assert samples.labelled
    assert everything(samples).inputs["x"].shape == (4, 4)
    assert [batch.labels.tolist() for batch in samples.batches(3)] == [[0, 1, 2], [3]]


@pytest.mark.parametrize("count", [2, 6])
def test_labels_beside_a_folder_must_be_as_many_as_rows(tmp_path: Path, count: int) -> None:
    np.save(tmp_path / "a.npy", np.ones((4, 4), np.float32))
    np.save(tmp_path / "labels.npy", np.arange(count))
    with pytest.raises(DataError, match=r"labels.npy has") as caught:
        everything(open_data(str(tmp_path), inputs=VECTOR))
    assert caught.value.code == "E503"


def test_random_data_is_synthetic_repeatable_and_of_the_model_s_dtypes() -> None:
    inputs = (*VECTOR, Input("ids", ("n", 7), np.dtype(np.int64)), Input("k", (), np.dtype(np.float16)))
    first, again, other = (
        open_data("random", inputs=inputs, options=DataOptions(seed=seed, count=9)) for seed in (0, 0, 1)
    )
    assert first.synthetic
    for name in ("x", "ids"):
        np.testing.assert_array_equal(
            next(first.batches(9)).inputs[name],
            np.concatenate([b.inputs[name] for b in again.batches(2)]),
        )
    assert next(first.batches(9)).inputs["ids"].dtype == np.int64
    assert next(first.batches(9)).inputs["k"].dtype == np.float16
    assert (next(first.batches(9)).inputs["x"] != next(other.batches(9)).inputs["x"]).any()


def test_random_data_of_unknown_extent_asks_for_the_shape() -> None:
    inputs = (Input("x", ("n", 3, "h", "w")),)
    with pytest.raises(DataError, match="not known in full"):
        open_data("random", inputs=inputs)
    given = open_data("random", inputs=inputs, options=DataOptions(shapes={"x": (1, 3, 8, 9)}))
    assert next(given.batches(4)).inputs["x"].shape == (4, 3, 8, 9)


def divided_file(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "cifar10.npz"
    np.savez(
        path,
        x_train=rng.integers(0, 256, (2500, 32, 32, 3), np.uint8),
        y_train=np.arange(2500) % 10,
        x_test=rng.integers(0, 256, (20, 32, 32, 3), np.uint8),
        y_test=np.arange(20) % 10,
    )
    return path


def test_divided_data_gives_its_test_part_normalised_as_told(tmp_path: Path) -> None:
    path = divided_file(tmp_path)
    batch = everything(open_data(str(path), inputs=IMAGE, options=NORMALISED))
    pixels = np.load(path)["x_test"]
    expected = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(batch.inputs["input"], expected, rtol=1e-5, atol=1e-5)
    assert batch.inputs["input"].dtype == np.float32
    assert batch.labels.tolist() == [row % 10 for row in range(20)]


def test_fit_and_search_are_cut_from_the_training_part(tmp_path: Path) -> None:
    path = str(divided_file(tmp_path))
    images = NORMALISED.images
    fit, search = (
        open_data(path, inputs=IMAGE, options=DataOptions(images=images, part=part))
        for part in ("fit", "search")
    )
    assert (fit.count, search.count) == (500, 2000)
    seen = {batch.inputs["input"].tobytes() for batch in fit.batches(1)}
    assert seen.isdisjoint(batch.inputs["input"].tobytes() for batch in search.batches(1))


def test_undivided_data_falls_into_three_parts(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(400, dtype=np.float32).reshape(100, 4))
    rows = [
        everything(open_data(str(tmp_path / "x.npy"), inputs=VECTOR, options=DataOptions(part=part))).inputs[
            "x"
        ]
        for part in ("fit", "search", "test")
    ]
    assert [len(part) for part in rows] == [50, 25, 25]
    assert sorted(np.concatenate(rows)[:, 0].tolist()) == list(range(0, 400, 4))


def test_a_missing_part_names_the_keys_that_are_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_test=np.ones((2, 4), np.float32), y_test=np.ones(2))
    with pytest.raises(DataError, match=r"no fit part.*\[x_test, y_test\]"):
        open_data(str(tmp_path / "d.npz"), inputs=VECTOR, options=DataOptions(part="fit"))


def test_an_input_called_x_test_is_an_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_test=np.ones((2, 4), np.float32))
    samples = open_data(str(tmp_path / "d.npz"), inputs=(Input("x_test", (1, 4)),))
    assert everything(samples).inputs["x_test"].shape == (2, 4)

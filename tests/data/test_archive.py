"""CIFAR-10 as its authors pickle it: read without trusting the pickle."""

import contextlib
import io
import os
import pickle  # noqa: TID251  (writes what the reader must read, or refuse)
import tarfile
from pathlib import Path

import numpy as np
import pytest

from onnxprune.data.cifar import read_cifar10
from onnxprune.data.cifar_archive import FOLDER, TEST, TRAIN
from onnxprune.data.opening import open_data
from onnxprune.data.options import DataOptions, ImageOptions
from onnxprune.data.restricted_pickle import load_plain
from onnxprune.errors import DataError
from tests.data.inputs import IMAGE

ROWS = 4


def batch(seed: int) -> dict[bytes, object]:
    rng = np.random.default_rng(seed)
    return {
        b"batch_label": b"a batch",
        b"labels": [int(label) for label in rng.integers(0, 10, ROWS)],
        b"data": rng.integers(0, 256, (ROWS, 3072), np.uint8),
        b"filenames": [b"a.png"] * ROWS,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / FOLDER
    place.mkdir()
    for seed, name in enumerate((*TRAIN, *TEST)):
        (place / name).write_bytes(pickle.dumps(batch(seed), protocol=2))
    return place


def check(path: Path) -> None:
    data = read_cifar10(path)
    assert data.x_train.shape == (5 * ROWS, 32, 32, 3)
    last = batch(5)
    assert data.y_test.tolist() == last[b"labels"]
    red, green, blue = last[b"data"][0].reshape(3, 32, 32)
    np.testing.assert_array_equal(data.x_test[0], np.stack([red, green, blue], axis=-1))


def test_the_folder_is_read(folder: Path) -> None:
    check(folder)
    check(folder.parent)


def test_the_tar_archive_is_read(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, FOLDER)
    check(path)


def test_the_folder_opens_as_data(folder: Path) -> None:
    options = DataOptions(images=ImageOptions("nchw", (0.5,) * 3, (0.5,) * 3))
    assert open_data(str(folder), inputs=IMAGE, options=options).count == ROWS


def test_a_missing_batch_is_named(folder: Path) -> None:
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match="data_batch_3"):
        read_cifar10(folder)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("content", [Evil(), {b"data": Evil()}, {b"labels": np.array([Evil()], object)}])
def test_a_pickle_that_calls_anything_is_refused(folder: Path, content: object) -> None:
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError) as caught:
        read_cifar10(folder)
    assert caught.value.code == "E501"
    assert "refused" in caught.value.cause
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "name", [b"cos\nsystem\n.", b"cbuiltins\neval\n.", b"cnumpy\nload\n.", b"cnumpy\nfromfile\n."]
)
def test_every_other_name_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="refused"):
        load_plain(io.BytesIO(b"\x80\x02" + name))


def test_damaged_batches_give_an_error_or_a_dict(folder: Path) -> None:
    whole = (folder / "test_batch").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        damaged[rng.integers(min(len(damaged), 600))] ^= 1 << rng.integers(8)
        with contextlib.suppress(ValueError):
            assert isinstance(load_plain(io.BytesIO(damaged)), dict)


@pytest.mark.parametrize("dtype", ["u1", "<i4", ">i4", "<f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(dtype: str, order: str) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (3, 4)), dtype, order=order)
    got = load_plain(io.BytesIO(pickle.dumps({"a": array}, protocol=2)))["a"]
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype

"""Arrays in files: mapped where they can be, refused where they need pickle, never a traceback."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from onnxprune.data.array_files import ArrayFile, open_npy
from onnxprune.errors import DataError


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", ">i2", "bool", "float16"])
def test_stored_members_are_mapped_and_compressed_ones_loaded(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (5, 3, 2)), dtype, order=order)
    np.savez(tmp_path / "stored.npz", other=np.arange(100), x=array)
    np.savez_compressed(tmp_path / "packed.npz", other=np.arange(100), x=array)
    stored, packed = ArrayFile(tmp_path / "stored.npz")["x"], ArrayFile(tmp_path / "packed.npz")["x"]
    assert isinstance(stored, np.memmap)
    assert not isinstance(packed, np.memmap)
    for read in (stored, packed):
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype


def test_an_npy_file_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    array = open_npy(tmp_path / "x.npy")
    assert isinstance(array, np.memmap)
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_empty_and_scalar_arrays_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", empty=np.empty((0, 3)), scalar=np.float32(2))
    arrays = ArrayFile(tmp_path / "x.npz")
    assert arrays["empty"].shape == (0, 3)
    assert arrays["scalar"].shape == ()
    assert float(arrays["scalar"]) == 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_object_arrays_are_refused(tmp_path: Path, save) -> None:
    save(tmp_path / "val.npz", x=np.array([{"a": 1}], object))
    with pytest.raises(DataError, match="object arrays need pickle, refused") as caught:
        ArrayFile(tmp_path / "val.npz")["x"]
    assert caught.value.code == "E501"


def test_an_object_npy_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1], [1, 2]], object))
    with pytest.raises(DataError, match="object arrays need pickle, refused"):
        open_npy(tmp_path / "x.npy")


def test_a_file_that_is_no_array_file_is_refused(tmp_path: Path) -> None:
    for name, read in (("x.npz", ArrayFile), ("x.npy", open_npy)):
        for content in (b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x09\x00"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(DataError, match="cannot be read"):
                read(tmp_path / name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files_give_an_error_or_an_array(tmp_path: Path, save) -> None:
    path = tmp_path / "x.npz"
    save(path, x=np.random.default_rng(0).random((20, 5)))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            assert all(isinstance(array, np.ndarray) for array in ArrayFile(path).values())


def test_a_truncated_npy_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.ones((100, 10)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        open_npy(path)


def test_a_large_stored_member_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((64, 1 << 14), np.float32))
    with path.open("r+b") as file:  # a mapped array shows what is written to the file later
        array = ArrayFile(path)["x"]
        file.seek(path.stat().st_size // 2 // 4 * 4)
        file.write(np.full(64, 7, np.uint8).tobytes())
    assert np.count_nonzero(array) > 0

"""CIFAR-10 as its authors give it out: pickled batches, in a folder or in cifar-10-python.tar.gz."""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.data.restricted_pickle import load_plain
from onnxprune.errors import DataError

FOLDER = "cifar-10-batches-py"
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)
DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, tarfile.TarError, zlib.error)


def is_archive(path: Path) -> bool:
    """Whether `path` is the tar archive, the folder in it, or a folder that holds that folder."""
    if path.is_dir():
        return any((place / TEST[0]).is_file() for place in (path, path / FOLDER))
    return path.name.endswith((".tar.gz", ".tgz", ".tar"))


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """x_train, y_train, x_test, y_test: images uint8 RGB (N, 32, 32, 3), labels int64 (N,).

    Nothing is unpacked to disk, and the pickles can build nothing but plain data.

    Raises:
        DataError: E501, a batch is missing, damaged, or asks for more than plain data.
    """
    arrays = {}
    for part, names in (("train", TRAIN), ("test", TEST)):
        batches = [_read_batch(path, name) for name in names]
        arrays[f"x_{part}"] = np.concatenate([images for images, _ in batches])
        arrays[f"y_{part}"] = np.concatenate([labels for _, labels in batches])
    return arrays


def _read_batch(path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        with _opened(path, name) as file:
            content = load_plain(file)
        pixels, labels = content["data"], np.asarray(content["labels"], np.int64)
        if pixels.dtype != np.uint8 or len(pixels) != len(labels):
            raise ValueError(
                f"want uint8 images and as many labels, got {pixels.dtype}, {len(labels)} labels"
            )
        images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except DAMAGED as error:
        raise DataError(
            "E501",
            f"{path}: {name} is not a batch of CIFAR-10 that can be read",
            cause=str(error) or type(error).__name__,
            hint="get https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz again",
        ) from error
    return images, labels


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    if path.is_dir():
        folder = path if (path / name).exists() else path / FOLDER
        with (folder / name).open("rb") as file:
            yield file
        return
    with tarfile.open(path) as archive:
        member = archive.extractfile(f"{FOLDER}/{name}")
        if member is None:
            raise KeyError(f"{name} is no plain file")
        yield member

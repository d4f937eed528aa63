"""Samples from .npz and .npy files, single or a folder full of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from onnxprune.data.adapter import LABELS, Adapter
from onnxprune.data.array_files import ArrayFile, open_npy
from onnxprune.data.samples import Array, Batch, Samples
from onnxprune.errors import DataError

SUFFIXES = (".npz", ".npy")


def array_samples(arrays: Mapping[str, Array], adapter: Adapter) -> Samples:
    """The rows of arrays by key, read a chunk at a time.

    Raises:
        DataError: E502 or E503, they do not fit the model.
    """
    keys = adapter.keys(arrays)
    used = {key: arrays[key] for key in keys.values()}
    rows = next((len(array) for array in used.values() if array.ndim), 1)
    first = adapter.batch(_slice(used, 0, min(1, rows)))
    _check_rows(used, adapter.source)

    def chunks(size: int) -> Iterator[Batch]:
        for start in range(0, rows, size):
            yield adapter.batch(_slice(used, start, start + size))

    return Samples(adapter.source, chunks, count=rows, labelled=first.labels is not None)


def npy_samples(path: Path, adapter: Adapter) -> Samples:
    """The rows of one array, for a model with one input."""
    return array_samples({adapter.single_input(): open_npy(path)}, adapter)


def holds_arrays(folder: Path) -> bool:
    """Whether .npz or .npy files lie directly in `folder`."""
    return bool(_array_files(folder))


def folder_samples(folder: Path, adapter: Adapter) -> Samples:
    """The rows of every .npz and .npy file in `folder`, file after file in the order of their names.

    A file holds rows with a batch axis, or one row without. `labels.npy` has the labels of all rows.

    Raises:
        DataError: E501, no such files; E502 or E503, the first does not fit the model.
    """
    files = _array_files(folder)
    if not files:
        raise DataError("E501", f"{folder} holds no .npz or .npy files and no folders of images")
    labels = _labels_beside(folder)

    def chunks(size: int) -> Iterator[Batch]:
        position = 0
        for path in files:
            for chunk in _file_chunks(path, adapter, size):
                yield chunk if labels is None else _labelled(chunk, labels, position, folder)
                position += len(chunk)
        if labels is not None and position != len(labels):
            raise DataError("E503", f"{folder}: {position} rows, labels.npy has {len(labels)}")

    first = next(chunks(1))
    return Samples(str(folder), chunks, labelled=first.labels is not None)


def _array_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.stem != LABELS)


def _file_chunks(path: Path, adapter: Adapter, size: int) -> Iterator[Batch]:
    named = Adapter(str(path), adapter.inputs, adapter.options, one_row=True)
    if path.suffix == ".npz":
        arrays: Mapping[str, Array] = ArrayFile(path)
    else:
        arrays = {named.single_input(): open_npy(path)}
    if _has_batch_axis(arrays, named):
        yield from array_samples(arrays, named).chunks(size)
    else:
        yield named.batch(arrays)


def _has_batch_axis(arrays: Mapping[str, Array], adapter: Adapter) -> bool:
    keys = adapter.keys(arrays)
    dims = {value.name: value.dims for value in adapter.inputs if value.dims}
    return all(arrays[keys[name]].ndim >= len(shape) for name, shape in dims.items())


def _labels_beside(folder: Path) -> Array | None:
    path = folder / f"{LABELS}.npy"
    return open_npy(path) if path.exists() else None


def _labelled(chunk: Batch, labels: Array, position: int, folder: Path) -> Batch:
    if position + len(chunk) > len(labels):
        raise DataError("E503", f"{folder}: labels.npy has {len(labels)} labels, the files more rows")
    return Batch(chunk.inputs, labels[position : position + len(chunk)])


def _slice(arrays: Mapping[str, Array], start: int, stop: int) -> dict[str, Array]:
    return {key: array[start:stop] if array.ndim else array for key, array in arrays.items()}


def _check_rows(arrays: Mapping[str, Array], source: str) -> None:
    lengths = {key: len(array) for key, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        rows = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise DataError("E503", f"{source}: numbers of rows differ: {rows}")
    if 0 in lengths.values():
        raise DataError("E501", f"{source} holds no rows")

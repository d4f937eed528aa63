"""The user's arrays as the model's inputs: names, dtypes and shapes checked before anything runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxprune.data.image_arrays import USUAL, as_model_input
from onnxprune.data.options import DataOptions
from onnxprune.data.samples import Array, Batch, ModelInput
from onnxprune.errors import DataError

LABELS = "labels"


@dataclass(frozen=True)
class Adapter:
    """Turns arrays by key into batches by input name.

    Args:
        source: What the user called the data.
        inputs: Of the model.
        options: Renaming and image options.
        one_row: An array without its batch axis is one row.
    """

    source: str
    inputs: Sequence[ModelInput]
    options: DataOptions
    one_row: bool = False

    def keys(self, present: Iterable[str]) -> dict[str, str]:
        """Input of the model (and "labels", where there are any) -> key in the data.

        Raises:
            DataError: E502, an input without data, or a renaming that does not apply.
        """
        present = set(present)
        names = [value.name for value in self.inputs]
        for key, name in self.options.rename.items():
            if key not in present:
                raise self._names_differ(present, f"--map {key}={name}: no key {key}")
            if name not in (*names, LABELS):
                raise self._names_differ(present, f"--map {key}={name}: no input {name}")
        key_of = {name: key for key, name in self.options.rename.items()}
        found = {name: key_of.get(name, name) for name in names}
        if not present.issuperset(found.values()):
            raise self._names_differ(present)
        labels = key_of.get(LABELS, LABELS)
        if labels in present and labels not in found.values():
            found[LABELS] = labels
        return found

    def batch(self, arrays: Mapping[str, Any], labels: Any = None) -> Batch:
        """The batch that `arrays` hold; labels may be among them.

        Raises:
            DataError: E502 or E503, they do not fit the model.
        """
        keys = self.keys(arrays)
        inputs = {
            value.name: self._input(np.asarray(arrays[keys[value.name]]), value) for value in self.inputs
        }
        if labels is None and LABELS in keys and LABELS not in inputs:
            labels = arrays[keys[LABELS]]
        batch = Batch(inputs, None if labels is None else self._labels(labels))
        self._check_lengths(batch)
        return batch

    def single_input(self) -> str:
        """The key of data that has no names: the only input's.

        Raises:
            DataError: E502, the model has several.
        """
        if len(self.inputs) != 1:
            names = ", ".join(value.name for value in self.inputs)
            raise DataError(
                "E502",
                f"{self.source}: one array without a name, model wants [{names}]",
                hint="write an .npz file with these names as keys",
            )
        name = self.inputs[0].name
        return next((key for key, target in self.options.rename.items() if target == name), name)

    def _names_differ(self, present: Iterable[str], cause: str = "") -> DataError:
        keys = sorted(set(present) - {LABELS})
        wanted = [value.name for value in self.inputs]
        return DataError(
            "E502",
            f"{self.source} has keys [{', '.join(keys)}], model wants [{', '.join(wanted)}]",
            cause=cause,
            hint=self._naming(keys, wanted),
        )

    def _naming(self, keys: list[str], wanted: list[str]) -> str:
        """What to do about names that differ; what is renamed rightly stays so."""
        right = {key: name for key, name in self.options.rename.items() if key in keys and name in wanted}
        free = [key for key in keys if key not in right and key not in wanted]
        lacking = [name for name in wanted if name not in right.values() and name not in keys]
        if not lacking:
            return f"leave that --map out: each input has its key; labels want --map KEY={LABELS}"
        return f"use --map {free[0]}={lacking[0]}" if free else f"add a key {lacking[0]} to the data"

    def _input(self, array: Array, value: ModelInput) -> Array:
        dims = value.dims
        if self.one_row and dims and array.ndim == len(dims) - 1:
            array = array[None]
        where = f"{self.source}, input {value.name}"
        if self.options.images and array.dtype == np.uint8 and array.ndim in (3, 4):
            array = as_model_input(array, self.options.images, dtype=value.dtype or array.dtype, where=where)
        if array.dtype.kind == "V" and value.dtype and array.dtype.itemsize == value.dtype.itemsize:
            array = array.view(value.dtype)  # bfloat16 and its like lose their name in .npy files
        if not _fits(array, value):
            raise self._shape_differs(array, value)
        return array

    def _shape_differs(self, array: Array, value: ModelInput) -> DataError:
        got = f"got {array.dtype} {_shown(array.shape)}"
        wants = f"want {value.dtype} {_shown(value.dims or ())}"
        turned = _turned(array, value)
        looks = f"; looks like {turned}" if turned else ""
        return DataError(
            "E503",
            f"{self.source}, input {value.name}: {got}, {wants}{looks}",
            hint=_advice(array, value, turned),
        )

    def _labels(self, labels: Any) -> Array:
        array = np.asarray(labels)
        if array.dtype.kind not in "iufb":
            raise DataError("E503", f"{self.source}: labels have dtype {array.dtype}, want numbers")
        return array.reshape(1) if self.one_row and array.ndim == 0 else array

    def _check_lengths(self, batch: Batch) -> None:
        lengths = {name: len(array) for name, array in batch.inputs.items() if array.ndim}
        if batch.labels is not None:
            lengths[LABELS] = len(batch.labels) if batch.labels.ndim else 1
        if len(set(lengths.values())) > 1:
            rows = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError("E503", f"{self.source}: numbers of rows differ: {rows}")


def _fits(array: Array, value: ModelInput) -> bool:
    """Whether dtype and shape are as declared; axis 0 and symbolic extents are free."""
    return value.dtype in (None, array.dtype) and _shape_fits(array.shape, value.dims)


def _shape_fits(shape: tuple[int, ...], dims: Sequence[int | str | None] | None) -> bool:
    if not dims:
        return True
    pairs = zip(shape[1:], dims[1:], strict=False)
    return len(shape) == len(dims) and all(not isinstance(dim, int) or size == dim for size, dim in pairs)


def _shown(dims: Sequence[int | str | None]) -> str:
    rest = ",".join("?" if dim is None else str(dim) for dim in dims[1:])
    return f"[N,{rest}]" if rest else "[N]" if dims else "[]"


def _turned(array: Array, value: ModelInput) -> str:
    """The layout that the data seems to have, where turning its axes would make it fit."""
    if array.ndim != 4 or _shape_fits(array.shape, value.dims):
        return ""
    first, height, width, last = array.shape
    if _shape_fits((first, last, height, width), value.dims):
        return "NHWC"
    return "NCHW" if _shape_fits((first, width, last, height), value.dims) else ""


def _advice(array: Array, value: ModelInput, turned: str) -> str:
    if array.dtype == np.uint8 and value.dtype != np.uint8:
        return f"for uint8 images {USUAL}"
    steps = []
    if turned:
        steps.append(f".transpose({'0, 3, 1, 2' if turned == 'NHWC' else '0, 2, 3, 1'})")
    if value.dtype not in (None, array.dtype):
        steps.append(f".astype('{value.dtype}')")
    if not steps and array.ndim == len(value.dims or ()) - 1:
        return "add the batch axis: array[None]"
    return f"save array{''.join(steps)}" if steps else ""

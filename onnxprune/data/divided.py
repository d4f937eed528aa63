"""Data that comes divided into parts: CIFAR-10 in its forms, and .npz files with x_test, y_test, ..."""

from collections.abc import Mapping
from pathlib import Path

from onnxprune.data.adapter import Adapter
from onnxprune.data.array_samples import array_samples
from onnxprune.data.cifar import Cifar10, split_search
from onnxprune.data.cifar_sample import read_sample
from onnxprune.data.options import Part
from onnxprune.data.samples import Array, Samples
from onnxprune.errors import DataError

MARKS = ("x_test", "x_search", "search_differences")


def is_divided(keys: Mapping[str, Array]) -> bool:
    """Whether arrays by these keys are parts of a data set, not inputs by name."""
    return any(mark in keys for mark in MARKS)


def divided_samples(arrays: Mapping[str, Array], adapter: Adapter, *, part: Part) -> Samples:
    """One part of a divided data set, for a model with one input.

    A part that is there by name is taken; fit and search are else cut from the training part, as
    `split_search` does it.

    Raises:
        DataError: E501, the part is not there; E502 or E503, it does not fit the model.
    """
    images, labels = _part(arrays, part, adapter.source)
    return array_samples({adapter.single_input(): images, "labels": labels}, adapter)


def sample_arrays(path: Path) -> dict[str, Array]:
    """The shipped sample of CIFAR-10 under the usual keys."""
    sample = read_sample(path)
    return {
        "x_search": sample.search_images,
        "y_search": sample.search_labels,
        "x_test": sample.test_images,
        "y_test": sample.test_labels,
    }


def _part(arrays: Mapping[str, Array], part: Part, source: str) -> tuple[Array, Array]:
    if f"x_{part}" in arrays and f"y_{part}" in arrays:
        return arrays[f"x_{part}"], arrays[f"y_{part}"]
    needed = ("x_train", "y_train", "x_test", "y_test")
    if part == "test" or not all(name in arrays for name in needed):
        raise DataError(
            "E501",
            f"{source} has no {part} part: its keys are [{', '.join(sorted(arrays))}]",
            hint=f"want x_{part} and y_{part}"
            + ("" if part == "test" else ", or x_train and y_train")
            + "; --part names another part",
        )
    halves = split_search(Cifar10(*(arrays[name] for name in needed)))
    if part == "fit":
        return halves.fit_images, halves.fit_labels
    return halves.search_images, halves.search_labels

"""The fit and search parts in memory, and the batches of an epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.data.labels import class_labels
from onnxprune.data.samples import Samples
from onnxprune.distillation.augmentation import Augmentation, Draws, on, pick_images
from onnxprune.distillation.losses import Targets
from onnxprune.distillation.parallel import ALONE, Crew
from onnxprune.errors import DataError, RuntimeProblem

READ = 512  # rows at a time


@dataclass(frozen=True)
class TrainingData:
    """What a distillation reads: weights learn from `fit`, every choice is made on `search`."""

    fit: Samples
    search: Samples


@dataclass(frozen=True)
class Rows:
    """All rows of one part.

    Attributes:
        inputs: One tensor for each input of the model, batch axis first.
        labels: int64 (N,), or None.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.inputs[0])

    def to(self, device: torch.device) -> "Rows":
        labels = None if self.labels is None else self.labels.to(device)
        return Rows(tuple(value.to(device) for value in self.inputs), labels)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of each input, with the number of rows first."""
        return [tuple(value.shape) for value in self.inputs]


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes.

    Attributes:
        inputs: Of the model, augmented.
        targets: Labels.
        rows: Where the rows lie in their part.
    """

    inputs: tuple[Tensor, ...]
    targets: Targets
    rows: NDArray[np.int64]


def read_rows(samples: Samples, names: Sequence[str]) -> Rows:
    """All rows of `samples` in memory, inputs in the order of `names`.

    Raises:
        DataError: E508, no rows; E503, rows of different shapes, or an input without a batch axis.
    """
    filled = {name: Filled(f"{samples.source}, input {name}", samples.count) for name in names}
    labels = []
    for batch in samples.batches(READ):
        for name in names:
            filled[name].add(batch.inputs[name])
        if batch.labels is not None:
            labels.append(batch.labels)
    if not filled[names[0]].rows:
        raise DataError("E508", f"{samples.source}: no samples in this part", hint="give more samples")
    inputs = tuple(filled[name].whole() for name in names)
    whole = np.concatenate(labels) if labels else None
    classes = class_labels(whole, len(inputs[0]))
    return Rows(inputs, None if classes is None else torch.from_numpy(classes))


class Filled:
    """One tensor that takes rows, made at once where their number is known.

    Images lie with their colours last in memory, as augmentation reads them.
    """

    def __init__(self, where: str, count: int | None) -> None:
        self._where, self._count = where, count
        self._parts: list[Tensor] = []
        self.rows = 0

    def add(self, value: NDArray[np.generic]) -> None:
        if value.ndim == 0 or (self._parts and tuple(self._parts[0].shape[1:]) != value.shape[1:]):
            raise DataError("E503", f"{self._where}: rows differ in shape: {list(value.shape[1:])}")
        check_finite(value, self._where, self.rows)
        rows = torch.from_numpy(np.ascontiguousarray(value))
        if self._count is None:
            self._parts.append(rows)
        else:
            if not self._parts:
                require_memory(self._where, self._count, rows[0])
                self._parts.append(in_order(torch.empty((self._count, *rows.shape[1:]), dtype=rows.dtype)))
            self._parts[0][self.rows : self.rows + len(rows)] = rows
        self.rows += len(rows)

    def whole(self) -> Tensor:
        joined = self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts)
        return in_order(joined)[: self.rows]


def require_memory(where: str, count: int, row: Tensor) -> None:
    """Raises: RuntimeProblem: E605, so many rows do not fit, where the system tells what is free."""
    free = free_memory()
    needed = count * row.nbytes
    if free is not None and needed > free:
        raise RuntimeProblem(
            "E605",
            f"{where}: {count} rows take {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free",
            hint=f"--samples {int(0.5 * free / max(1, row.nbytes))}",
        )


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def in_order(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def check_finite(value: NDArray[Any], where: str, first: int) -> None:
    """Raises: DataError: E503, a value is nan or infinite; minus infinity may be that of a mask."""
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        bad = np.isnan(value) | np.isposinf(value)
        if bad.any():
            row = first + int(np.argwhere(bad)[0][0])
            raise DataError("E503", f"{where}: row {row} holds nan or infinity", hint="leave such rows out")


def check_labels(rows: Rows, classes: int, source: str) -> None:
    """Raises: DataError: E507, a label that is none of the classes."""
    if rows.labels is None or not len(rows.labels):
        return
    low, high = int(rows.labels.min()), int(rows.labels.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        where = int((rows.labels == wrong).nonzero()[0])
        raise DataError(
            "E507",
            f"{source}: label {wrong} of row {where} is out of range, the model has {classes} classes",
            hint="labels count from 0; give --alpha 1 to learn from the teacher alone",
        )


@dataclass(frozen=True)
class Epoch:
    """Order and random numbers of one pass, from seed and epoch alone: a resumed run sees the same."""

    order: NDArray[np.int64]
    draws: Draws

    @classmethod
    def of(cls, rows: int, augmentation: Augmentation, *, seed: int, epoch: int) -> "Epoch":
        rng = np.random.default_rng((seed, epoch))
        return cls(rng.permutation(rows), augmentation.draw(rows, rng))


def batches(
    rows: Rows,
    epoch: Epoch,
    augmentation: Augmentation,
    *,
    size: int,
    start: int = 0,
    crew: Crew = ALONE,
) -> Iterator[Batch]:
    """Batches of an epoch from the `start`-th on, the incomplete last one left out.

    Of each, the rows of this process: rank, rank + size, ... of it.
    """
    for first in range(start * size, len(rows) - size + 1, size):
        whole = epoch.order[first : first + size]
        partners = np.roll(whole, 1)[crew.rank :: crew.size]
        yield make_batch(rows, whole[crew.rank :: crew.size], partners, epoch.draws, augmentation)


def make_batch(
    rows: Rows,
    index: NDArray[np.int64],
    partners: NDArray[np.int64],
    draws: Draws,
    augmentation: Augmentation,
) -> Batch:
    """One batch: the rows at `index`, and `partners` mixed into them where mixup is asked for."""
    labels = None if rows.labels is None else rows.labels[on(index, rows.labels)]
    if not augmentation.names:
        return Batch(tuple(value[on(index, value)] for value in rows.inputs), Targets(labels), index)
    images = pick_images(rows.inputs[0], index, draws, augmentation)
    if draws.shares is None:
        return Batch((images,), Targets(labels), index)
    share = on(draws.shares[index].astype(np.float32), images)
    others = pick_images(rows.inputs[0], partners, draws, augmentation)
    mixed = torch.lerp(others, images, share.to(images.dtype)[:, None, None, None])
    other_labels = None if rows.labels is None else rows.labels[on(partners, rows.labels)]
    return Batch((mixed,), Targets(labels, other_labels, share), index)

"""Samples: a stream of batches that can be read again, and disjoint parts of it.

samples = open_data("val.npz", inputs=graph.inputs)
fit, search = split(samples, 0.5, seed=0)
for batch in search.batches(64):
    outputs = session.run(None, batch.inputs)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Keep = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


class ModelInput(Protocol):
    """An input as the model declares it: axis 0 is the batch; None where it does not say."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> np.dtype[Any] | None: ...
    @property
    def dims(self) -> tuple[int | str | None, ...] | None: ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs by name, each with the batch axis first (scalars apart), and one label a row."""

    inputs: Mapping[str, Array]
    labels: Array | None = None

    def __len__(self) -> int:
        return next((len(array) for array in self.inputs.values() if array.ndim), 1)

    def rows(self, index: slice | NDArray[np.int64]) -> "Batch":
        """The rows at `index` of every input and of the labels."""
        inputs = {name: array[index] if array.ndim else array for name, array in self.inputs.items()}
        return Batch(inputs, None if self.labels is None else self.labels[index])


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs of a model with or without labels, read as often as needed, never all at once.

    Args:
        source: What the user called it, for messages.
        chunks: Wanted size -> a fresh pass over the rows, in chunks of any length.
        count: Rows of one pass; None where only a pass can tell.
        labelled: Every batch has labels.
        synthetic: Invented numbers: good for latency and verification, not for accuracy.
    """

    source: str
    chunks: Callable[[int], Iterator[Batch]]
    count: int | None = None
    labelled: bool = False
    synthetic: bool = False

    def batches(self, size: int) -> Iterator[Batch]:
        """Batches of `size` rows, each row once and in order.

        The last batch may be shorter, and so may one before rows of another shape.
        """
        if size < 1:
            raise ValueError(f"batch size is {size}, must be at least 1")
        return regroup(self.chunks(size), size)


def is_empty(samples: Samples) -> bool:
    """Whether there is no row; where only a pass can tell, it goes to the first."""
    if samples.count is not None:
        return samples.count == 0
    return not any(len(chunk) for chunk in samples.chunks(1))


def count_rows(samples: Samples) -> int:
    """Rows of one pass, which is made where only that can tell."""
    return sum(map(len, samples.chunks(1))) if samples.count is None else samples.count


def regroup(chunks: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The same rows in batches of `size`; rows of different shapes never share a batch."""
    pending: list[Batch] = []
    for chunk in chunks:
        if not any(array.ndim for array in chunk.inputs.values()):
            yield chunk  # nothing has a batch axis: one row by itself
            continue
        if pending and _signature(pending[0]) != _signature(chunk):
            yield _joined(pending)
            pending = []
        pending.append(chunk)
        while sum(map(len, pending)) >= size:
            joined = _joined(pending)
            yield joined.rows(slice(0, size))
            rest = joined.rows(slice(size, None))
            pending = [rest] if len(rest) else []
    if pending:
        yield _joined(pending)


def _signature(batch: Batch) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape[1:] for array in batch.inputs.values())


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    inputs = {
        name: np.concatenate([batch.inputs[name] for batch in batches]) if array.ndim else array
        for name, array in first.inputs.items()
    }
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return Batch(inputs, np.concatenate(labels) if labels else None)


def split(samples: Samples, fraction: float, *, seed: int = 0) -> tuple[Samples, Samples]:
    """Two disjoint parts: `fraction` of the rows, and all others.

    Which part a row falls in depends on its position and `seed` alone, not on the batch size.

    Raises:
        ValueError: `fraction` is not between 0 and 1.
    """
    return portion(samples, 0.0, fraction, seed=seed), portion(samples, fraction, 1.0, seed=seed)


def choose(samples: Samples, count: int, *, seed: int = 0) -> Samples:
    """`count` rows chosen at random in their old order; all where there are no more.

    Where the number of rows is unknown, the first `count`: choosing would take a pass over all.
    """
    if samples.count is None:
        return replace(samples, chunks=lambda size: _first(samples.chunks(size), count))
    if samples.count <= count:
        return samples
    return portion(samples, 0.0, count / samples.count, seed=seed)


def portion(samples: Samples, start: float, stop: float, *, seed: int = 0) -> Samples:
    """The rows whose rank in a random order lies in [start, stop), both fractions of all rows.

    Portions with touching bounds and one seed are disjoint and together complete.
    """
    if not 0.0 <= start <= stop <= 1.0:
        raise ValueError(f"portion is [{start}, {stop}), must lie in [0, 1]")
    if samples.count is None:
        return replace(samples, chunks=_selected(samples, _by_value(start, stop, seed)))
    ranks = np.argsort(np.argsort(_scatter(np.arange(samples.count), seed)))
    chosen = (ranks >= round(start * samples.count)) & (ranks < round(stop * samples.count))
    return replace(samples, chunks=_selected(samples, lambda rows: chosen[rows]), count=int(chosen.sum()))


def _by_value(start: float, stop: float, seed: int) -> Keep:
    def keep(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        place = _scatter(rows, seed) / 2.0**64
        return (place >= start) & (place < stop)

    return keep


def _scatter(rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A random-looking number a row (SplitMix64, Steele et al. 2014): no state, so streams can ask too."""
    mixed = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(seed * 0xD1B54A32D192ED03 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _selected(samples: Samples, keep: Keep) -> Callable[[int], Iterator[Batch]]:
    def chunks(size: int) -> Iterator[Batch]:
        position = 0
        for chunk in samples.chunks(size):
            rows = np.flatnonzero(keep(np.arange(position, position + len(chunk))))
            position += len(chunk)
            if len(rows):
                yield chunk.rows(rows)

    return chunks


def _first(chunks: Iterable[Batch], count: int) -> Iterator[Batch]:
    for chunk in chunks:
        yield chunk.rows(slice(0, count))
        count -= len(chunk)
        if count <= 0:
            return

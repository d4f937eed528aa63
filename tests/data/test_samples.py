"""Batches, parts and choices of samples, by their laws."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.data.samples import Batch, Samples, choose, portion, regroup, split


def numbered(count: int, *, known: bool = True, step: int = 7) -> Samples:
    """Rows that hold their own number, in chunks of `step`."""

    def chunks(_size: int) -> Iterator[Batch]:
        for start in range(0, count, step):
            rows = np.arange(start, min(start + step, count))
            yield Batch({"x": rows[:, None].astype(np.float32)}, rows)

    return Samples("numbers", chunks, count=count if known else None, labelled=True)


def rows_of(samples: Samples, size: int = 5) -> list[int]:
    return [int(label) for batch in samples.batches(size) for label in batch.labels]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_batches_hold_each_row_once_and_in_order(count: int, step: int, size: int) -> None:
    batches = list(numbered(count, step=step).batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert rows_of(numbered(count, step=step), size) == list(range(count))


@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 5), st.booleans())
def test_two_parts_are_disjoint_and_complete(count: int, fraction: float, seed: int, known: bool) -> None:
    first, second = (rows_of(part) for part in split(numbered(count, known=known), fraction, seed=seed))
    assert sorted(first + second) == list(range(count))


def test_a_part_of_known_size_is_exact_and_of_unknown_size_nearly() -> None:
    known, _ = split(numbered(1000), 0.3)
    unknown, _ = split(numbered(1000, known=False), 0.3)
    assert (known.count, len(rows_of(known))) == (300, 300)
    assert unknown.count is None
    assert 250 < len(rows_of(unknown)) < 350


def test_a_part_does_not_depend_on_the_batch_size() -> None:
    assert rows_of(split(numbered(50, step=3), 0.5)[0], 4) == rows_of(split(numbered(50, step=9), 0.5)[0], 11)


def test_another_seed_gives_another_part() -> None:
    assert rows_of(split(numbered(50), 0.5, seed=1)[0]) != rows_of(split(numbered(50), 0.5, seed=2)[0])


def test_portions_of_a_row_of_bounds_cover_all() -> None:
    parts = [portion(numbered(41), *bounds) for bounds in ((0, 0.5), (0.5, 0.75), (0.75, 1))]
    assert sorted(row for part in parts for row in rows_of(part)) == list(range(41))


def test_a_choice_has_the_wanted_number_of_rows_and_is_spread() -> None:
    chosen = rows_of(choose(numbered(1000), 50))
    assert len(chosen) == 50
    assert max(chosen) > 800


def test_a_choice_of_more_rows_than_there_are_is_all() -> None:
    assert rows_of(choose(numbered(12), 50)) == list(range(12))


def test_a_choice_from_an_unknown_number_takes_the_first() -> None:
    assert rows_of(choose(numbered(100, known=False), 9)) == list(range(9))


def test_rows_of_different_shapes_never_share_a_batch() -> None:
    small, large = (Batch({"x": np.zeros((3, side), np.float32)}) for side in (2, 4))
    assert [b.inputs["x"].shape for b in regroup([small, large, large], 4)] == [(3, 2), (4, 4), (2, 4)]


def test_scalar_inputs_are_handed_on_with_each_batch() -> None:
    batch = Batch({"scale": np.float32(2) * np.ones(()), "x": np.zeros((5, 1))})
    assert [b.inputs["scale"].shape for b in regroup([batch], 2)] == [(), (), ()]


def test_only_scalar_inputs_make_batches_of_one() -> None:
    assert [len(batch) for batch in regroup([Batch({"x": np.ones(())})] * 3, 2)] == [1, 1, 1]


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        numbered(3).batches(0)

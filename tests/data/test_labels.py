import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.data.labels import class_labels, not_whole

CLASSES = st.lists(st.integers(0, 999), min_size=1, max_size=8)


@given(CLASSES, st.sampled_from([np.uint8, np.int32, np.int64, np.float32, np.float64]))
def test_classes_are_classes_whatever_type_a_file_keeps_them_in(labels: list[int], dtype: type) -> None:
    held = np.array(labels).astype(dtype)[:, None]
    found = class_labels(held, len(labels))
    assert found is not None
    assert found.dtype == np.int64
    assert found.tolist() == held.ravel().astype(int).tolist()


@pytest.mark.parametrize("broken", [0.5, -1e-3, np.nan, np.inf, -np.inf, 1e300])
def test_one_number_that_is_not_whole_makes_all_of_them_no_classes(broken: float) -> None:
    labels = np.array([3.0, broken, 1.0])
    assert class_labels(labels, 3) is None
    assert not_whole(labels) == pytest.approx(broken, nan_ok=True)


@pytest.mark.parametrize("labels", [None, np.zeros((3, 5)), np.zeros(4, int), np.array(["a", "b", "c"])])
def test_other_labels_are_no_classes(labels: np.ndarray | None) -> None:
    assert class_labels(labels, 3) is None

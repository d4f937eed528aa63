"""The metrics against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from onnxprune.errors import DataError
from onnxprune.measurement.accumulators import Observed, rows_by
from onnxprune.measurement.metrics import (
    METRICS,
    Compared,
    agreement,
    cosine,
    cross_entropy,
    kl,
    mse,
    relative_mse,
    top1,
    top5,
)

ROWS, CLASSES = 50, 10


def scores(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape or (ROWS, CLASSES)).astype(np.float32)


@given(st.integers(0, 1000), st.integers(6, 12))
def test_top1_and_top5_are_what_sorting_says(seed: int, classes: int) -> None:
    output = scores(seed, ROWS, classes)
    labels = np.random.default_rng(seed + 1).integers(0, classes, ROWS)
    ranked = np.argsort(-output, axis=1)
    assert top1(Compared(output, labels)).tolist() == (ranked[:, 0] == labels).tolist()
    assert top5(Compared(output, labels)).tolist() == (ranked[:, :5] == labels[:, None]).any(1).tolist()


def test_of_equal_scores_the_first_class_wins_as_in_argmax() -> None:
    output = np.zeros((3, 4), np.float32)
    assert top1(Compared(output, np.arange(3))).tolist() == [1, 0, 0]


def test_scores_that_are_no_numbers_are_wrong_predictions() -> None:
    assert top1(Compared(np.full((2, 4), np.nan, np.float32), np.zeros(2))).tolist() == [0, 0]


def test_where_there_are_no_numbers_nothing_agrees() -> None:
    output = scores(0)
    broken = output.copy()
    broken[:5, 3] = np.nan
    assert agreement(Compared(broken, None, output)).tolist() == [0.0] * 5 + [1.0] * (ROWS - 5)
    assert agreement(Compared(broken, None, broken)).tolist() == [0.0] * 5 + [1.0] * (ROWS - 5)


def test_a_row_of_several_positions_counts_as_their_mean() -> None:
    output = np.zeros((1, 3, 2, 2), np.float32)  # (N, classes, H, W)
    output[0, 1] = 1
    labels = np.array([[[1, 1], [1, 0]]])
    assert top1(Compared(output, labels)).tolist() == [0.75]


def test_sequences_have_their_classes_last() -> None:
    output, other = scores(0, 2, 7, 5), scores(1, 2, 7, 5)
    expected = (output.argmax(-1) == other.argmax(-1)).mean(-1)
    np.testing.assert_allclose(agreement(Compared(output, None, other)), expected)


@pytest.mark.parametrize("labels", [np.array([0, 4]), np.array([-1, 0]), np.zeros((2, 3))])
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        top1(Compared(scores(0, 2, 4), labels))
    assert caught.value.code == "E503"


def test_float_labels_are_classes_where_they_are_whole() -> None:
    known = scores(0, 3, 4)
    whole, integers = np.array([0.0, 3.0, 1.0], np.float32), np.array([0, 3, 1])
    assert (top1(Compared(known, whole)) == top1(Compared(known, integers))).all()
    for label in (0.6, np.nan):
        with pytest.raises(DataError, match=f"label {label:g} is no class"):
            top1(Compared(known, np.array([0, 1, label])))


def test_agreement_is_of_the_likeliest_classes() -> None:
    mine, theirs = scores(0), scores(1)
    assert agreement(Compared(mine, None, theirs)).mean() == (mine.argmax(1) == theirs.argmax(1)).mean()


@given(st.integers(0, 1000), st.floats(-50, 50))
def test_cosine_ignores_a_constant_on_all_logits(seed: int, constant: float) -> None:
    mine, theirs = scores(seed), scores(seed + 1)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(mine, theirs, strict=True)]
    shifted = (mine + constant).astype(np.float64)
    np.testing.assert_allclose(cosine(Compared(shifted, None, theirs)), expected, atol=1e-3)


def test_cosine_of_constant_rows_is_one_only_where_they_are_equal() -> None:
    constant = np.zeros((2, 4), np.float32)
    assert cosine(Compared(constant, None, constant)).tolist() == [1, 1]
    assert cosine(Compared(constant, None, scores(0, 2, 4))).tolist() == [0, 0]


@pytest.mark.parametrize("form", [lambda x: x, lambda x: softmax(x, 1), lambda x: log_softmax(x, 1)])
def test_kl_is_the_divergence_from_the_original_s_classes(form) -> None:
    mine, theirs = scores(0), scores(1)
    expected = entropy(softmax(theirs, 1), softmax(mine, 1), axis=1)
    np.testing.assert_allclose(kl(Compared(form(mine), None, form(theirs))), expected, rtol=1e-4)


def test_mse_is_over_all_elements_of_a_row() -> None:
    mine, theirs = scores(0, 3, 4, 5), scores(1, 3, 4, 5)
    expected = ((mine - theirs) ** 2).reshape(3, -1).mean(1)
    np.testing.assert_allclose(mse(Compared(mine, None, theirs)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["agreement", "cosine", "kl", "mse"])
def test_outputs_of_other_shapes_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="differ in shape"):
        METRICS[name].rows(Compared(scores(0), None, scores(0)[:, :5]))


@pytest.mark.parametrize("name", ["agreement", "cosine"])
def test_a_model_agrees_with_itself(name: str) -> None:
    np.testing.assert_allclose(METRICS[name].rows(Compared(scores(0), None, scores(0))), 1, rtol=1e-12)


def test_integer_outputs_do_not_overflow() -> None:
    mine, theirs = np.array([[-128, 127]], np.int8), np.array([[127, -128]], np.int8)
    assert mse(Compared(mine, None, theirs)).tolist() == [255.0**2]


def test_cross_entropy_is_that_of_the_labels() -> None:
    output, labels = scores(0), np.random.default_rng(1).integers(0, CLASSES, ROWS)
    expected = -log_softmax(output.astype(np.float64), 1)[np.arange(ROWS), labels]
    np.testing.assert_allclose(cross_entropy(Compared(output, labels)), expected, rtol=1e-6)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_the_relative_error_has_no_unit_and_is_one_for_zeros(seed: int, unit: float) -> None:
    ours, theirs = scores(seed), scores(seed + 1)
    found = relative_mse(Compared(ours, None, theirs))
    larger = np.maximum((ours**2).sum(1), (theirs**2).sum(1))
    assert found == pytest.approx(((ours - theirs) ** 2).sum(1) / larger, rel=1e-5)
    scaled = relative_mse(
        Compared((unit * ours).astype(np.float32), None, (unit * theirs).astype(np.float32))
    )
    assert scaled == pytest.approx(found, rel=1e-4)
    zeros = np.zeros_like(theirs)
    assert relative_mse(Compared(zeros, None, theirs)).tolist() == [1.0] * ROWS
    assert relative_mse(Compared(zeros, None, zeros)).tolist() == [0.0] * ROWS


def test_of_integers_the_relative_error_is_the_share_that_differs() -> None:
    ours, theirs = np.array([[1, 2, 3, 4], [1, 1, 1, 1]]), np.array([[1, 2, 3, 9], [1, 1, 1, 1]])
    assert relative_mse(Compared(ours, None, theirs)).tolist() == [0.25, 0.0]


def test_the_relative_error_looks_at_every_output() -> None:
    """Rows, a mean over the batch, a sequence and one of another length; each weighs the same."""
    y, other = scores(0, 4, 3), scores(1, 2, 2)
    reference = {"y": y, "mean": np.float32(2.0), "parts": [y, other], "found": scores(2, 5)}
    outputs = {"y": y, "mean": np.float32(1.0), "parts": [y, np.zeros_like(other)], "found": scores(2, 6)}
    metric = METRICS["relative-mse"]
    rows = rows_by(metric, "relative-mse", Observed(outputs, 4, None, reference), "y")
    assert rows.tolist() == [(0 + 1 / 4 + 1 / 2 + 1) / 4] * 4
    same = rows_by(metric, "relative-mse", Observed(reference, 4, None, reference), "y")
    assert same.tolist() == [0.0] * 4


def test_what_is_no_number_is_no_figure_and_equal_infinities_are_alike() -> None:
    theirs = scores(0, 4, 3)
    theirs[0, 0] = theirs[1, 0] = -np.inf
    ours = theirs.copy()
    ours[1, 0] = 5.0
    ours[2, 1] = np.nan
    found = relative_mse(Compared(ours, None, theirs))
    assert found[[0, 1, 3]].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(found[2])


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_rows_of_nothing_are_alike(dtype: type) -> None:
    empty = np.zeros((4, 0), dtype)
    assert relative_mse(Compared(empty, None, empty)).tolist() == [0.0] * 4

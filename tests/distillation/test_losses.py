"""Each term of the loss against its formula in numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from onnxprune.converters.outputs import Seen, is_classifier, softmax_input, view_of
from onnxprune.distillation.losses import (
    Objective,
    Targets,
    cosine_distance,
    cross_entropy,
    relative_mse,
    soft_divergence,
)
from tests.distillation.small_pair import graph_of, network

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(2, 5, 3))
LABELS = np.array([0, 2, 1, 1, 0])
OTHERS = np.array([1, 1, 0, 2, 2])
SHARE = np.array([1.0, 0.9, 0.6, 0.7, 0.8])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(x))


def numpy_cross_entropy(labels: np.ndarray) -> np.ndarray:
    return -np.log(softmax(STUDENT)[np.arange(5), labels])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_teachers_term_is_the_divergence_of_softened_scores_times_t_squared(temperature: float) -> None:
    p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
    assert float(soft_divergence(tensor(STUDENT), tensor(TEACHER), temperature)) == pytest.approx(expected)


def test_the_loss_of_a_classifier_weighs_teacher_and_labels_by_alpha() -> None:
    objective = Objective("kl", 0.3, 2.0)
    got = objective(Seen((tensor(STUDENT),)), Seen((tensor(TEACHER),)), Targets(tensor(LABELS)))
    soft = float(soft_divergence(tensor(STUDENT), tensor(TEACHER), 2.0))
    assert float(got) == pytest.approx(0.3 * soft + 0.7 * numpy_cross_entropy(LABELS).mean())


def test_without_labels_the_teacher_alone_counts() -> None:
    got = Objective("kl", 0.3, 2.0)(Seen((tensor(STUDENT),)), Seen((tensor(TEACHER),)), Targets())
    assert float(got) == pytest.approx(float(soft_divergence(tensor(STUDENT), tensor(TEACHER), 2.0)))


def test_mixtures_count_both_labels_by_their_shares() -> None:
    targets = Targets(tensor(LABELS), tensor(OTHERS), tensor(SHARE))
    expected = SHARE * numpy_cross_entropy(LABELS) + (1 - SHARE) * numpy_cross_entropy(OTHERS)
    assert float(cross_entropy(tensor(STUDENT), targets)) == pytest.approx(expected.mean(), rel=1e-6)


def test_the_square_error_is_relative_to_the_teacher() -> None:
    expected = ((STUDENT - TEACHER) ** 2).mean() / (TEACHER**2).mean()
    assert float(relative_mse(tensor(STUDENT), tensor(TEACHER))) == pytest.approx(expected, rel=1e-5)
    assert float(relative_mse(tensor(1e4 * STUDENT), tensor(1e4 * TEACHER))) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_cosine_distance_is_a_mean_over_rows() -> None:
    dots = (STUDENT * TEACHER).sum(-1)
    norms = np.linalg.norm(STUDENT, axis=-1) * np.linalg.norm(TEACHER, axis=-1)
    expected = (1 - dots / norms).mean()
    assert float(cosine_distance(tensor(STUDENT), tensor(TEACHER))) == pytest.approx(expected, rel=1e-5)


def test_features_add_the_mean_of_their_errors() -> None:
    ours, theirs = (Seen((tensor(x),), (tensor(2 * x), tensor(x - 1))) for x in (STUDENT, TEACHER))
    outputs = float(relative_mse(tensor(STUDENT), tensor(TEACHER)))
    features = outputs + float(relative_mse(tensor(STUDENT - 1), tensor(TEACHER - 1)))
    got = Objective("mse", 1.0, 1.0, match_weight=3.0)(ours, theirs, Targets())
    assert float(got) == pytest.approx(outputs + 3.0 * features / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("last", "scores"),
    [
        ("y = Identity(g)", ""),
        ("y = Softmax(g)", "g"),
        ("y = LogSoftmax<axis = 1>(g)", "g"),
        ("q = Softmax(g)  y = Identity(q)", "g"),
        ("y = Sigmoid(g)", ""),
        ("y = Softmax<axis = 0>(g)", ""),
    ],
)
def test_of_a_model_that_ends_in_probabilities_the_scores_before_them_are_taken(
    last: str, scores: str, tmp_path: Path
) -> None:
    graph = graph_of(network(np.random.default_rng(0), last=last), tmp_path / "m.onnx")
    assert softmax_input(graph) == scores
    assert view_of(graph, classes=True).scores == scores
    assert is_classifier(graph, labelled=False) == bool(scores)
    assert is_classifier(graph, labelled=True)

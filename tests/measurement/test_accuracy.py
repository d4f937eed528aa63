"""Figures of whole runs, against numpy; and what they refuse to tell."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxprune.errors import DataError, ModelError
from onnxprune.measurement.accuracy import MeasureOptions, measure, record
from onnxprune.measurement.session import make_session
from tests.measurement.small_models import (
    CLASSES,
    classifier,
    classifier_weights,
    model_of,
    random_rows,
    samples_of,
)

X = random_rows(203)
WEIGHTS, OTHER = classifier_weights(0), classifier_weights(1)
LABELS = np.random.default_rng(5).integers(0, CLASSES, len(X))


@pytest.mark.parametrize("batch", ["N", 1, 4, 500])
@pytest.mark.parametrize("batch_size", [1, 64, 1000])
def test_top1_is_numpy_s_whatever_batch_the_model_takes(batch: int | str, batch_size: int) -> None:
    session = make_session(classifier(WEIGHTS, batch=batch))
    got = measure(session, samples_of(X, LABELS), options=MeasureOptions(batch_size=batch_size))
    ranked = np.argsort(-(X @ WEIGHTS), axis=1)
    assert got.metrics["top1"] == pytest.approx((ranked[:, 0] == LABELS).mean())
    assert got.metrics["top5"] == pytest.approx((ranked[:, :5] == LABELS[:, None]).any(1).mean())
    assert (got.samples, got.provider) == (203, "CPUExecutionProvider")


@pytest.mark.parametrize(("batch", "reference_batch"), [("N", "N"), (4, "N"), ("N", 4), (3, 5)])
def test_agreement_is_numpy_s_whatever_batch_each_model_takes(batch, reference_batch) -> None:
    mine = make_session(classifier(WEIGHTS, batch=batch))
    original = make_session(classifier(OTHER, batch=reference_batch))
    got = measure(mine, samples_of(X), reference=original)
    assert list(got.metrics) == ["agreement", "cosine", "kl"]
    expected = ((X @ WEIGHTS).argmax(1) == (X @ OTHER).argmax(1)).mean()
    assert got.metrics["agreement"] == pytest.approx(expected)


def test_recorded_outputs_stand_for_the_original() -> None:
    mine, original = make_session(classifier(WEIGHTS, batch=4)), make_session(classifier(OTHER))
    samples = samples_of(X)
    recorded = record(original, samples, batch_size=50)
    assert (
        measure(mine, samples, reference=recorded).metrics
        == measure(mine, samples, reference=original).metrics
    )


def test_labels_and_an_original_give_both_kinds_of_figures() -> None:
    session = make_session(classifier(WEIGHTS))
    got = measure(session, samples_of(X, LABELS), reference=session)
    assert list(got.metrics) == ["top1", "top5", "agreement", "cosine", "kl"]
    assert got.metrics["agreement"] == 1


def test_progress_tells_rows() -> None:
    told: list[tuple[int, int | None]] = []
    session = make_session(classifier(WEIGHTS))
    measure(
        session,
        samples_of(X, LABELS),
        options=MeasureOptions(batch_size=100),
        progress=lambda *rows: told.append(rows),
    )
    assert told == [(100, 203), (200, 203), (203, 203)]


def test_another_output_is_measured_where_it_is_asked_for() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Neg", ["y"], ["z"])]
    graph = helper.make_graph(
        nodes,
        "two outputs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", len(WEIGHTS)])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", CLASSES]) for name in ("y", "z")],
        [helper.make_tensor("w", TensorProto.FLOAT, WEIGHTS.shape, WEIGHTS.ravel())],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    session = make_session(model.SerializeToString())
    got = measure(session, samples_of(X, LABELS), options=MeasureOptions(output="z"))
    assert got.metrics["top1"] == pytest.approx(((X @ WEIGHTS).argmin(1) == LABELS).mean())
    with pytest.raises(DataError, match="it has y, z"):
        measure(session, samples_of(X, LABELS), options=MeasureOptions(output="w"))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (("top1",), "top1 needs labels"),
        (("agreement",), "needs the original"),
        (("accuracy",), "metric accuracy is not known"),
        ((), "has no labels"),
    ],
)
def test_metrics_that_cannot_be_had_are_refused(metrics: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        measure(make_session(classifier(WEIGHTS)), samples_of(X), options=MeasureOptions(metrics))
    assert caught.value.code == "E504"


def test_classes_of_invented_samples_are_refused_and_differences_doubted() -> None:
    session, invented = make_session(classifier(WEIGHTS)), samples_of(X, synthetic=True)
    with pytest.raises(DataError, match="means nothing"):
        measure(session, invented, reference=session)
    got = measure(session, invented, reference=session, options=MeasureOptions(("mse",)))
    assert got.metrics == {"mse": 0.0}
    assert any(warning.startswith("W505") for warning in got.warnings)


def test_predictions_of_few_classes_are_doubted() -> None:
    stuck = WEIGHTS * 0
    got = measure(make_session(classifier(stuck)), samples_of(X, LABELS))
    assert [warning[:46] for warning in got.warnings] == ["W505: predictions cover 1 of 10 classes; accur"]


def test_varied_predictions_of_enough_samples_are_not_doubted() -> None:
    assert measure(make_session(classifier(WEIGHTS)), samples_of(X, LABELS)).warnings == ()


def test_few_samples_are_doubted() -> None:
    got = measure(make_session(classifier(WEIGHTS)), samples_of(X[:12], LABELS[:12]))
    assert "W504: only 12 samples" in got.warnings


def test_no_samples_at_all_are_refused() -> None:
    with pytest.raises(DataError, match="no samples"):
        measure(make_session(classifier(WEIGHTS)), samples_of(X[:0], LABELS[:0]))


def test_an_output_without_classes_is_refused_for_classes() -> None:
    one = classifier(WEIGHTS[:, :1])
    with pytest.raises(DataError, match=r"output y has shape \[64, 1\]"):
        measure(make_session(one), samples_of(X, LABELS))


def test_an_output_that_is_not_finite_is_an_error() -> None:
    broken = make_session(classifier(WEIGHTS * np.float32(np.inf)))
    options = MeasureOptions(("mse",))
    with pytest.raises(DataError, match="not finite") as caught, np.errstate(invalid="ignore"):
        measure(broken, samples_of(X), reference=make_session(classifier(WEIGHTS)), options=options)
    assert caught.value.code == "E506"


def test_a_model_for_single_rows_that_says_otherwise_gets_a_hint() -> None:
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[1, 6])
    model = model_of([shape, helper.make_node("Reshape", ["x", "shape"], ["y"])], {"x": ["N", 6]})
    with pytest.raises(ModelError) as caught:
        measure(make_session(model), samples_of(X, LABELS))
    assert "--batch 1" in caught.value.hint


def test_an_output_without_rows_cannot_be_cut() -> None:
    model = model_of([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], {"x": [4, 6]})
    with pytest.raises(DataError, match="want one row for each of 4"):
        measure(make_session(model), samples_of(X[:3], LABELS[:3]))


CODE = """
import numpy as np

def right(outputs, labels):
    return np.mean(outputs["y"].argmax(1) == labels)

def drift(outputs, labels, reference):
    return abs(outputs["y"] - reference["y"]).max()

class Right:
    def __init__(self):
        self.right = self.rows = 0
    def update(self, outputs, labels):
        self.right += (outputs["y"].argmax(1) == labels).sum()
        self.rows += len(labels)
    def result(self):
        return self.right / self.rows

class Drift:
    def __init__(self):
        self.most = 0.0
    def update(self, outputs, labels, reference):
        self.most = max(self.most, abs(outputs["y"] - reference["y"]).max())
    def result(self):
        return self.most

def nan(outputs, labels):
    return float("nan")

def text(outputs, labels):
    return "good"

def raises(outputs, labels):
    return outputs["logits"]
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "user_metrics.py").write_text(CODE)
    return str(tmp_path / "user_metrics.py")


@pytest.mark.parametrize("name", ["right", "Right"])
def test_a_metric_of_the_user_sees_all_outputs_and_labels(module: str, name: str) -> None:
    options = MeasureOptions((f"{module}:{name}", "top1"))
    figures = measure(make_session(classifier(WEIGHTS)), samples_of(X, LABELS), options=options).metrics
    assert figures[f"{module}:{name}"] == pytest.approx(figures["top1"])


@pytest.mark.parametrize("name", ["drift", "Drift"])
def test_a_metric_of_the_user_may_ask_for_the_original(module: str, name: str) -> None:
    options = MeasureOptions((f"{module}:{name}",))
    original = make_session(classifier(OTHER))
    got = measure(make_session(classifier(WEIGHTS)), samples_of(X), options=options, reference=original)
    assert got.metrics[f"{module}:{name}"] == pytest.approx(abs(X @ WEIGHTS - X @ OTHER).max(), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "gives nan"),
        ("text", "gives str"),
        ("raises", r"raised KeyError at .*user_metrics.py:34"),
        ("absent", "has no function"),
    ],
)
def test_a_metric_of_the_user_that_fails_is_told_with_its_line(module: str, name: str, message: str) -> None:
    options = MeasureOptions((f"{module}:{name}",))
    with pytest.raises(DataError, match=message) as caught:
        measure(make_session(classifier(WEIGHTS)), samples_of(X), options=options)
    assert caught.value.code == "E506"


def test_a_number_for_the_whole_batch_beside_the_scores_is_not_recorded() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("ReduceMean", ["y"], ["m"], keepdims=0),
    ]
    model = onnx.load_from_string(model_of(nodes, {"x": ["N", 6]}, weights={"w": OTHER}))
    model.graph.output.append(helper.make_tensor_value_info("m", TensorProto.FLOAT, []))
    original, samples = make_session(model.SerializeToString()), samples_of(X, LABELS)
    assert record(original, samples) is original
    got = measure(make_session(classifier(WEIGHTS)), samples, reference=record(original, samples))
    assert got.metrics["agreement"] == ((X @ WEIGHTS).argmax(1) == (X @ OTHER).argmax(1)).mean()


def merging(rows: int = 2) -> bytes:
    """The batch and another axis in one: y (N * rows, 5)."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Reshape", ["h", "target"], ["y"]),
    ]
    target = np.array([-1, CLASSES // rows], np.int64)
    return model_of(nodes, {"x": ["N", 6]}, weights={"w": WEIGHTS, "target": target})


@pytest.mark.parametrize("metric", ["top1", "top5", "cross-entropy"])
def test_labels_need_one_row_of_the_output_a_sample(metric: str) -> None:
    session = make_session(merging())
    with pytest.raises(DataError, match=r"output has shape \[128, 5\] for 64 samples") as caught:
        measure(session, samples_of(X, LABELS), options=MeasureOptions((metric,)))
    assert caught.value.code == "E503"


def test_rows_that_are_no_samples_are_still_compared_with_the_original() -> None:
    """The mean over all of them needs no sample to belong to."""
    session = make_session(merging())
    got = measure(session, samples_of(X), reference=session)
    assert got.metrics["agreement"] == 1


def test_a_single_number_has_no_rows_to_compare() -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)
    session = make_session(model_of([node], {"x": ["N", 6]}))
    with pytest.raises(DataError, match=r"mse needs rows \[N, ...\]; output y has shape \[\]") as caught:
        measure(session, samples_of(X), options=MeasureOptions(("mse",)), reference=session)
    assert caught.value.code == "E504"

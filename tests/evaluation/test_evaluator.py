"""One candidate: its accuracy is that of the model that prune and the repairs give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.data import Batch
from onnxprune.errors import DataError, UsageError
from onnxprune.evaluation import EvaluateOptions, Evaluator, Repairs, gather
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from tests.evaluation.conftest import ROWS, Setting


def outputs(setting: Setting, masks, method="none"):
    weights = Repairs.of(setting.groups, setting.grams, method=method).weights(masks)
    session = ort.InferenceSession(
        prune(setting.groups, masks, weights=weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, dict(batch.inputs))[0] for batch in setting.batches])


def labels(setting: Setting):
    return np.concatenate([batch.labels for batch in setting.batches])


@pytest.mark.parametrize("method", ["none", "bias", "least-squares"])
def test_accuracy_is_that_of_the_pruned_and_repaired_model(setting: Setting, method: str) -> None:
    (masks,) = setting.masks(1)
    found = setting.evaluator(repair=method).evaluate(masks)
    expected = (outputs(setting, masks, method).argmax(1) == labels(setting)).mean()
    assert found.accuracy == pytest.approx(expected)
    assert (found.rows, found.abandoned) == (ROWS, False)
    assert found.figures is not None
    assert found.figures.mean() == found.accuracy
    assert set(found.seconds) == {"repair", "rewrite", "session", "run"}


def test_repairs_are_worth_it(setting: Setting) -> None:
    accuracy = {
        method: np.mean([setting.evaluator(repair=method).evaluate(m).accuracy for m in setting.masks(6)])
        for method in ("none", "moments", "least-squares")
    }
    assert accuracy["none"] < accuracy["moments"] < accuracy["least-squares"]


def test_without_labels_it_is_the_agreement_with_the_original(setting: Setting) -> None:
    batches = [Batch(batch.inputs) for batch in setting.batches]
    evaluator = Evaluator(setting.groups, setting.grams, batches)
    (masks,) = setting.masks(1)
    whole = {group.name: np.ones(group.channels, bool) for group in setting.groups.prunable}
    expected = outputs(setting, masks, "least-squares").argmax(1) == outputs(setting, whole).argmax(1)
    assert (evaluator.metric.name, evaluator.metric.sign, evaluator.rows) == ("agreement", 1, ROWS)
    assert evaluator.evaluate(masks).accuracy == pytest.approx(expected.mean())
    assert evaluator.evaluate(whole).accuracy == 1


@pytest.mark.parametrize("metric", ["top1", "top5", "cross-entropy", "agreement", "cosine", "kl", "mse"])
def test_of_every_metric_more_is_better(setting: Setting, metric: str) -> None:
    evaluator = setting.evaluator(metric=metric)
    whole = {group.name: np.ones(group.channels, bool) for group in setting.groups.prunable}
    few = setting.masks(1, share=0.15)[0]
    assert evaluator.evaluate(whole).accuracy >= evaluator.evaluate(few).accuracy
    assert evaluator.evaluate(few) is not None


def spread_of(outputs, labels):
    """A metric of the user."""
    return float(np.mean(outputs["y"].argmax(1) == labels))


def test_a_metric_of_the_user_is_asked_once_with_everything(setting: Setting) -> None:
    (masks,) = setting.masks(1)
    found = setting.evaluator(metric="tests.evaluation.test_evaluator:spread_of").evaluate(masks)
    assert found.accuracy == setting.evaluator().evaluate(masks).accuracy
    assert found.figures is None


def test_equal_arguments_give_equal_results(setting: Setting) -> None:
    first, second = setting.masks(2)
    evaluator = setting.evaluator(metric="cross-entropy")
    before = evaluator.evaluate(first)
    evaluator.evaluate(second)
    after = evaluator.evaluate(first)
    assert before.figures is not None
    assert after.figures is not None
    np.testing.assert_array_equal(before.figures, after.figures)


def test_a_hopeless_candidate_is_given_up_and_a_good_one_is_not(setting: Setting) -> None:
    evaluator = setting.evaluator(race=True)
    whole = {group.name: np.ones(group.channels, bool) for group in setting.groups.prunable}
    best = evaluator.evaluate(whole)
    (bad,) = setting.masks(1, share=0.15)
    level = best.accuracy - 0.02
    alone = evaluator.evaluate(bad, hopeless_below=level)
    paired = evaluator.evaluate(bad, hopeless_below=level, incumbent=best.figures)
    assert alone.abandoned
    assert paired.abandoned
    assert paired.rows <= alone.rows < ROWS
    assert paired.accuracy <= paired.reach < level
    assert not evaluator.evaluate(whole, hopeless_below=level, incumbent=best.figures).abandoned
    unraced = setting.evaluator().evaluate(bad, hopeless_below=level)
    assert (unraced.abandoned, unraced.rows) == (False, ROWS)


def test_an_output_without_rows_gives_no_candidate_up(setting: Setting, tmp_path: Path) -> None:
    """Its figure is one of a whole batch: to race by it would take one sample for all of them."""
    merged = onnx.load(setting.groups.graph.path)
    merged.graph.initializer.append(numpy_helper.from_array(np.array([0]), "rows"))
    merged.graph.node.append(helper.make_node("ReduceSum", ["y", "rows"], ["m"], keepdims=0))
    merged.graph.output.append(helper.make_tensor_value_info("m", TensorProto.FLOAT, [6]))
    onnx.save(merged, tmp_path / "merged.onnx")
    groups = find_groups(load_graph(tmp_path / "merged.onnx"))
    evaluator = Evaluator(
        groups, {}, setting.batches, EvaluateOptions(repair="none", race=True, metric="auto")
    )
    assert evaluator.metric.name == "relative-mse"
    (masks,) = setting.masks(1, share=0.15)
    found = evaluator.evaluate(masks, hopeless_below=0.0)
    assert (found.abandoned, found.rows) == (False, ROWS)


def test_a_model_with_a_fixed_batch_runs_on_any_number_of_rows(setting: Setting, tmp_path) -> None:
    fixed = onnx.load(setting.groups.graph.path)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 16
    onnx.save(fixed, tmp_path / "fixed.onnx")
    groups = find_groups(load_graph(tmp_path / "fixed.onnx"))
    evaluator = Evaluator(groups, gather(groups, [setting.calibration]), setting.batches)
    (masks,) = setting.masks(1)
    assert evaluator.evaluate(masks).accuracy == pytest.approx(
        setting.evaluator().evaluate(masks).accuracy, abs=0.01
    )


@pytest.mark.parametrize(("options", "code"), [({"metric": "top2"}, "E201"), ({"repair": "glue"}, "E201")])
def test_unknown_options_are_refused(setting: Setting, options, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        setting.evaluator(**options)
    assert caught.value.code == code


def test_rows_that_do_not_do_are_refused(setting: Setting) -> None:
    unlabelled = [Batch(batch.inputs) for batch in setting.batches]
    for batches, metric in ((unlabelled, "top1"), ([], "auto")):
        with pytest.raises(DataError) as caught:
            Evaluator(setting.groups, setting.grams, batches, EvaluateOptions(metric=metric))
        assert caught.value.code == "E504"


@pytest.mark.parametrize("metric", ["cross-entropy", "top1", "agreement", "cosine"])
def test_outputs_that_are_no_numbers_are_told(setting: Setting, metric: str) -> None:
    nan = [replace(b, inputs={"x": np.full_like(b.inputs["x"], np.nan)}) for b in setting.batches]
    with pytest.raises(DataError, match="is NaN") as caught:
        Evaluator(setting.groups, setting.grams, nan, EvaluateOptions(metric=metric)).evaluate(
            setting.masks(1)[0]
        )
    assert caught.value.code == "E506"

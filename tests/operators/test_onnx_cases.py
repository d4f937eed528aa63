"""Every node test that comes with onnx, in all its variants, obeys the law on all its axes at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from onnxprune.errors import ModelError
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.verification.masked import masked_model
from tests.law.build import save
from tests.law.check import Trial, assert_close, counts, many_masks
from tests.operators.cases import Case, closed_cases

SHARDS = 8  # a test each, so that several processes share the work
TRIAL = Trial(seeds=range(1))
Evaluate = Callable[[ModelProto], list[Any]]


@pytest.fixture(autouse=True)
def _newer_opsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read models that onnx knows and the tested ONNX Runtime does not yet."""
    monkeypatch.setattr("onnxprune.onnx_file.versions.SURE_OPSET", 99)


@pytest.mark.parametrize("heads", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the reference evaluator divides by zero
def test_node_cases_of_onnx(shard: int, heads: bool, tmp_path: Path) -> None:
    tried = 0
    for number, case in enumerate(closed_cases()):
        if number % SHARDS == shard:
            tried += check_case(case, tmp_path, heads=heads)
    assert tried > 50


def check_case(case: Case, folder: Path, *, heads: bool) -> bool:
    """Whether the case had channels to prune; the law held if so."""
    try:
        groups = find_groups(load_graph(save(case.model, folder)), heads=heads)
    except ModelError:  # a case that was never updated from opset 1
        return False
    exact = [group for group in groups.prunable if not group.inexact]
    if not exact:
        return False
    evaluate = by_runtime if runs(case.model) else by_reference
    for masks in many_masks(exact, TRIAL):
        check_masks(case.name, groups, masks, evaluate)
    for masks in many_masks(groups.prunable, TRIAL):
        evaluate(prune(groups, masks))
    return True


def check_masks(name: str, groups: Groups, masks: Masks, evaluate: Evaluate) -> None:
    found, expected = evaluate(prune(groups, masks)), evaluate(masked_model(groups, masks))
    for a, b in zip(found, expected, strict=True):
        if np.isfinite(b).all():  # infinity times a zero of the mask
            assert_close(np.asarray(a), np.asarray(b), f"{name} under {counts(masks)}", TRIAL.tolerance)


def session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def runs(model: ModelProto) -> bool:
    """Whether ONNX Runtime has a kernel for it."""
    try:
        session(model).run(None, {})
    except Exception:  # noqa: BLE001 - it has no common base class for what it raises
        return False
    return True


def by_runtime(model: ModelProto) -> list[Any]:
    return list(session(model).run(None, {}))


def by_reference(model: ModelProto) -> list[Any]:
    return list(ReferenceEvaluator(model).run(None, {}))

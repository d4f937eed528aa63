"""`law` of tests/law with a verification after it; `reference_law` where ONNX Runtime has no kernel."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from onnxprune.groups import Groups
from onnxprune.masks import Masks
from onnxprune.pruning import prune
from onnxprune.verification import verify
from onnxprune.verification.masked import masked_model
from tests.law.build import OPSET, Weight, model
from tests.law.check import (
    Trial,
    assert_close,
    check_law,
    counts,
    free,
    input_shapes,
    many_masks,
    random_feeds,
)
from tests.law.conftest import Law

ReferenceLaw = Callable[..., list[str]]


@pytest.fixture
def law(tmp_path: Path) -> Law:
    """As in tests/law; and the verification of one pruned model, which users get, finds no fault with it."""

    def run(
        signature: str,
        body: str,
        *,
        trial: Trial = Trial(),  # noqa: B008
        opset: int = OPSET,
        **weights: Weight,
    ) -> list[str]:
        groups = check_law(model(signature, body, opset=opset, **weights), tmp_path, trial)
        if trial.runs:
            masks = next(many_masks(groups.prunable, trial))
            verify_masks(groups, masks)
        return free(groups)

    return run


def verify_masks(groups: Groups, masks: Masks) -> None:
    report = verify(groups.graph, prune(groups, masks), masks=masks, groups=groups)
    assert report.ok, [(check.name, check.faults) for check in report.failed]


@pytest.fixture
def reference_law(tmp_path: Path) -> ReferenceLaw:
    """As `law`; the numbers come from onnx's reference evaluator, `operators` added to it."""

    def run(
        signature: str,
        body: str,
        *,
        trial: Trial = Trial(),  # noqa: B008
        opset: int = OPSET,
        operators: Sequence[type[OpRun]] = (),
        **weights: Weight,
    ) -> list[str]:
        made = model(signature, body, opset=opset, **weights)
        groups = check_law(made, tmp_path, replace(trial, runs=False))
        exact = [group for group in groups.prunable if not group.inexact]
        for masks in many_masks(exact, trial):
            check_by_reference(groups, masks, trial, operators)
        for masks in many_masks(groups.prunable, trial):
            evaluate(prune(groups, masks), feeds_for(groups, trial), operators)
        return free(groups)

    return run


def feeds_for(groups: Groups, trial: Trial) -> dict[str, Any]:
    return random_feeds(groups.graph, input_shapes(groups.graph.model, trial, 0), trial)


def check_by_reference(groups: Groups, masks: Masks, trial: Trial, operators: Sequence[type[OpRun]]) -> None:
    feeds = feeds_for(groups, trial)
    found = evaluate(prune(groups, masks), feeds, operators)
    expected = evaluate(masked_model(groups, masks), feeds, operators)
    for name, value in expected.items():
        assert_close(found[name], value, f"{name} under {counts(masks)}", trial.tolerance)


def evaluate(proto: ModelProto, feeds: dict[str, Any], operators: Sequence[type[OpRun]]) -> dict[str, Any]:
    evaluator = ReferenceEvaluator(proto, new_ops=list(operators))
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))

"""`law(signature, body, **weights)`: the prunable groups of a small model, once the law was seen to hold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.law.build import OPSET, Weight, model
from tests.law.check import Trial, check_law, free

Law = Callable[..., list[str]]


@pytest.fixture
def law(tmp_path: Path) -> Law:
    def run(
        signature: str,
        body: str,
        *,
        trial: Trial = Trial(),  # noqa: B008
        opset: int = OPSET,
        ir: int = 8,
        **weights: Weight,
    ) -> list[str]:
        return free(check_law(model(signature, body, opset=opset, ir=ir, **weights), tmp_path, trial))

    return run

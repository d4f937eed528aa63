"""`groups_of(signature, body, **weights)`: the groups of a small model stated as text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from onnxprune.groups import Groups, find_groups
from onnxprune.onnx_file import load_graph
from tests.law.build import Weight, model, save

Build = Callable[..., Groups]


@pytest.fixture
def groups_of(tmp_path: Path) -> Build:
    def build(signature: str, body: str, *, opset: int = 21, ir: int = 10, **weights: Weight) -> Groups:
        return find_groups(load_graph(save(model(signature, body, opset=opset, ir=ir, **weights), tmp_path)))

    return build

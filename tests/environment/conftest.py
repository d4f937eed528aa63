"""Cost models to walk over: residual, concatenated, depthwise and head groups; and one to be quick on."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from tests.exported import export_case

NAMES = ("resnet20", "densenet", "inverted_residual", "encoder_split", "small")
SMALL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N, 6] x) => (float[N, 3] y)
{
    h = MatMul(x, a)
    hr = Relu(h)
    k = MatMul(hr, b)
    kr = Relu(k)
    y = MatMul(kr, c)
}
"""
STUCK = """
<ir_version: 8, opset_import: ["" : 17]>
stuck (float[N, 6] x) => (float[N, 3] y) { y = MatMul(x, a) }
"""


def cost_model_of(text: str, path: Path, **shapes: tuple[int, int]) -> CostModel:
    """From ONNX text, and the shapes of its weights by name."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.save(model, path)
    return CostModel(find_groups(load_graph(path)))


@pytest.fixture(scope="session")
def cost_models(exported_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CostModel]:
    found = {
        name: CostModel(find_groups(load_graph(export_case(name, "torchscript", exported_folder))))
        for name in NAMES[:-1]
    }
    return {
        **found,
        "small": cost_model_of(
            SMALL, tmp_path_factory.mktemp("small") / "small.onnx", a=(6, 12), b=(12, 8), c=(8, 3)
        ),
    }


@pytest.fixture(scope="session")
def small(cost_models: dict[str, CostModel]) -> CostModel:
    return cost_models["small"]


@pytest.fixture(scope="session")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> CostModel:
    """A model whose only weight makes the output: nothing may go."""
    return cost_model_of(STUCK, tmp_path_factory.mktemp("stuck") / "stuck.onnx", a=(6, 3))

"""Groups of real models to project on: residual, concatenated, grouped, depthwise, heads."""

from pathlib import Path

import pytest

from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from tests.exported import export_case
from tests.law.build import model, save

NAMES = ("resnet20", "densenet", "inverted_residual", "grouped_shuffle", "encoder_split", "spatial_flatten")


@pytest.fixture(scope="session")
def cost_models(exported_folder: Path) -> dict[str, CostModel]:
    paths = {name: export_case(name, "torchscript", exported_folder) for name in NAMES}
    return {name: CostModel(find_groups(load_graph(path))) for name, path in paths.items()}


@pytest.fixture
def chain(tmp_path: Path) -> CostModel:
    """Four matrix products, three groups of eight channels between them."""
    body = """
        a = MatMul(x, u)
        b = Relu(a)
        c = MatMul(b, v)
        d = Relu(c)
        e = MatMul(d, w)
        f = Relu(e)
        y = MatMul(f, z)
    """
    made = model("float[N,6] x => float[N,4] y", body, u=(6, 8), v=(8, 8), w=(8, 8), z=(8, 4))
    return CostModel(find_groups(load_graph(save(made, tmp_path))))

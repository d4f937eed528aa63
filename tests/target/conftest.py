"""Groups of real models to project on: residual, concatenated, grouped, depthwise, heads."""

from pathlib import Path

import pytest

from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from tests.exported import export_case

NAMES = ("resnet20", "densenet", "inverted_residual", "grouped_shuffle", "encoder_split", "spatial_flatten")


@pytest.fixture(scope="session")
def cost_models(exported_folder: Path) -> dict[str, CostModel]:
    paths = {name: export_case(name, "torchscript", exported_folder) for name in NAMES}
    return {name: CostModel(find_groups(load_graph(path))) for name, path in paths.items()}

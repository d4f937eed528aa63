"""Real exports with a batch of 1 baked in, freed and run with three samples in ONNX Runtime."""

from pathlib import Path

import pytest

from onnxprune.onnx_file import load_graph
from tests.converters.batch_runs import TOLERANCE, export_fixed, free_and_compare
from tests.exported import EXPORTED, EXPORTERS, export_case

EXPORTER_NAMES = ("torchscript", "dynamo", "dynamo_raw")
SOME = [
    ("plain", "dynamo"),
    ("shufflenet", "dynamo"),
    ("squeeze_excite", "torchscript"),
    ("unet_resize", "dynamo"),
    ("feature_pyramid", "torchscript"),
    ("group_norm", "dynamo"),
    ("spatial_flatten", "torchscript"),
    ("vision_transformer", "torchscript"),
    ("vision_transformer", "dynamo"),
    ("encoder_layer", "torchscript"),
    ("encoder_einsum", "dynamo"),
    ("lstm_both_ways", "dynamo"),
    ("gru", "torchscript"),
    ("language_model", "torchscript"),
]


def check(name: str, exporter: str, folder: Path) -> None:
    free, error = free_and_compare(load_graph(export_fixed(name, exporter, folder)))
    assert free.model is not None, free.reason
    assert free.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert error <= TOLERANCE


@pytest.mark.parametrize(("name", "exporter"), SOME)
def test_three_samples_at_once_give_what_each_gives_alone(
    name: str, exporter: str, exported_folder: Path
) -> None:
    check(name, exporter, exported_folder)


@pytest.mark.slow
@pytest.mark.parametrize("exporter", EXPORTER_NAMES)
@pytest.mark.parametrize("name", EXPORTED)
def test_every_network_that_the_tests_export_can_be_freed(
    name: str, exporter: str, exported_folder: Path
) -> None:
    check(name, exporter, exported_folder)


@pytest.mark.parametrize(
    "exporter", ["torchscript", "dynamo", pytest.param("dynamo_raw", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", ["plain", "vision_transformer", "encoder_layer"])
def test_an_export_with_a_free_batch_is_left_alone(name: str, exporter: str, exported_folder: Path) -> None:
    assert exporter in EXPORTERS
    free, _ = free_and_compare(load_graph(export_case(name, exporter, exported_folder)))
    assert free.model is None
    assert "free already" in free.reason

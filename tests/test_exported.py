"""The exported torch networks of the tests are what they claim to be."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from onnxprune.models.export import check_export
from tests.exported import EXPORTED_BY, SMALL, build, example_input, export_case


@pytest.mark.parametrize("exporter", EXPORTED_BY)
@pytest.mark.parametrize("name", SMALL)
def test_the_file_gives_the_outputs_of_torch(name: str, exporter: str, exported_folder: Path) -> None:
    path = export_case(name, exporter, exported_folder)
    check_export(build(name), path, example=example_input(name, batch=4, seed=1))


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_small_and_always_has_the_same_weights(name: str) -> None:
    first, second = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(first[key], value) for key, value in second.items())
    assert sum(value.numel() for value in first.values()) < 30_000


@pytest.mark.parametrize("name", SMALL)
def test_the_outputs_depend_on_the_input_and_are_of_ordinary_size(name: str) -> None:
    with torch.no_grad():
        one, two = (build(name)(example_input(name, seed=seed)) for seed in (1, 2))
    assert (one - two).abs().max() > 1e-3
    assert one.abs().max() < 100


@pytest.mark.parametrize("name", SMALL)
def test_no_two_biases_are_alike(name: str) -> None:
    vectors = [p for p in build(name).parameters() if isinstance(p, nn.Parameter) and p.ndim == 1]
    assert not any(
        one.shape == two.shape and torch.equal(one, two)
        for index, one in enumerate(vectors)
        for two in vectors[:index]
    )


def test_a_case_is_exported_once(tmp_path: Path) -> None:
    path = export_case("plain", "torchscript", tmp_path)
    written = path.stat().st_mtime_ns
    assert export_case("plain", "torchscript", tmp_path) == path
    assert path.stat().st_mtime_ns == written
    assert onnx.load(path).graph.output[0].name == "logits"

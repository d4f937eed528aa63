"""Putting BatchNormalization back behind folded convolutions changes nothing, nor does folding it again."""

import copy
from pathlib import Path

import pytest
import torch

from onnxprune.converters import OnnxModule, to_onnx, to_torch
from onnxprune.converters.batch_norm import fold_batch_norm, folded_convolutions, insert_batch_norm
from onnxprune.onnx_file import Graph, load_graph

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_graph(MODELS / "resnet20_cifar10.onnx")


@pytest.fixture
def module(graph: Graph) -> OnnxModule:
    return to_torch(graph).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_function_is_the_same_with_batch_norm_put_back(module: OnnxModule, images: torch.Tensor) -> None:
    before = module(images)
    assert len(insert_batch_norm(module, [[images]])) == 19
    torch.testing.assert_close(module(images), before, rtol=1e-4, atol=1e-4)


def test_training_mode_uses_the_statistics_of_the_batch(module: OnnxModule, images: torch.Tensor) -> None:
    before = module(images)
    insert_batch_norm(module, [[images]])
    torch.testing.assert_close(module.train()(images), before, rtol=1e-3, atol=1e-3)  # the same batch
    assert not torch.allclose(module(images * 2), module.eval()(images * 2), atol=0.1)


def test_what_was_trained_is_folded_into_weights(
    graph: Graph, module: OnnxModule, images: torch.Tensor
) -> None:
    inserted = insert_batch_norm(module, [[images]])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        module.train()(images).square().mean().backward()
        optimizer.step()
    trained = module.eval()(images)
    fold_batch_norm(module, inserted)
    torch.testing.assert_close(module(images), trained, rtol=1e-4, atol=1e-4)
    assert [n.op_type for n in to_onnx(module, graph).graph.node] == [
        n.op_type for n in graph.model.graph.node
    ]


def test_folding_at_once_gives_the_weights_back(module: OnnxModule, images: torch.Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in module.initializers.items()}
    plan = module._plan
    fold_batch_norm(module, insert_batch_norm(module, [[images]]))
    assert module._plan == plan
    assert list(module.initializers) == list(before)
    for name, tensor in module.initializers.items():
        torch.testing.assert_close(tensor.detach(), before[name], rtol=1e-4, atol=1e-5)


def test_a_copy_is_folded_without_touching_the_original(module: OnnxModule, images: torch.Tensor) -> None:
    inserted = insert_batch_norm(module, [[images]])
    other = copy.deepcopy(module)
    fold_batch_norm(other, inserted)
    torch.testing.assert_close(other(images), module(images), rtol=1e-4, atol=1e-4)
    assert len(list(module.buffers())) == 2 * len(inserted)


def test_a_model_that_kept_its_batch_norm_gets_no_other() -> None:
    module = to_torch(load_graph(MODELS / "resnet20_cifar10_bn.onnx"))
    assert folded_convolutions(module) == ()


def test_nothing_is_put_in_without_calibration_inputs(module: OnnxModule) -> None:
    assert insert_batch_norm(module, []) == ()

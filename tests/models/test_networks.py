"""The CIFAR networks are those of their papers."""

import pytest
import torch
from torch import nn

from onnxprune.errors import ModelError
from onnxprune.models.resnet import PadShortcut
from onnxprune.models.zoo import NETWORKS, load_network

PUBLISHED_MILLIONS = {
    "resnet20": 0.27,  # He et al. 2016, table 6
    "resnet32": 0.46,
    "resnet44": 0.66,
    "resnet56": 0.85,
    "resnet110": 1.7,
    "vgg16_bn": 14.72,  # Li et al. 2017 (Pruning filters, table 2) count 15.0 with one hidden layer more
    "vgg19_bn": 20.04,  # Liu et al. 2017 (Network slimming, table 1)
    "mobilenet_v2": 2.24,  # Sandler et al. 2018: 3.5 with 1,000 classes, less 990 * 1281
}
CONVOLUTIONS = {"resnet20": 19, "resnet56": 55, "resnet110": 109, "vgg16_bn": 13, "vgg19_bn": 16}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "millions"), PUBLISHED_MILLIONS.items())
def test_a_network_has_the_published_number_of_parameters(name: str, millions: float) -> None:
    decimals = len(str(millions).split(".")[1])
    assert round(count(NETWORKS[name]()) / 1e6, decimals) == millions


@pytest.mark.parametrize(("name", "convolutions"), CONVOLUTIONS.items())
def test_a_network_has_the_convolutions_that_its_name_says(name: str, convolutions: int) -> None:
    assert sum(isinstance(module, nn.Conv2d) for module in NETWORKS[name]().modules()) == convolutions


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_gives_ten_logits_for_an_image(name: str) -> None:
    with torch.no_grad():
        assert NETWORKS[name]().eval()(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_shortcut_a_has_no_parameters_and_shortcut_b_has_two_convolutions_more() -> None:
    shortcuts = [m for m in NETWORKS["resnet20"]().modules() if isinstance(m, PadShortcut)]
    assert len(shortcuts) == 2
    assert all(count(shortcut) == 0 for shortcut in shortcuts)
    projections = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert count(NETWORKS["resnet20_b"]()) - count(NETWORKS["resnet20"]()) == projections


def test_shortcut_a_keeps_every_second_pixel_between_zero_channels() -> None:
    x = torch.rand(2, 3, 4, 4)
    y = PadShortcut(4)(x)
    assert y.shape == (2, 7, 2, 2)
    assert torch.equal(y[:, 2:5], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 5:].any()


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    torch.save(NETWORKS["resnet20"]().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="no weights of resnet32"):
        load_network("resnet32", tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [None, b"", b"not weights"])
def test_a_file_without_weights_is_refused(tmp_path, content) -> None:
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="no weights of resnet20"):
        load_network("resnet20", path)

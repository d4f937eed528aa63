"""The networks by name."""

import pickle  # noqa: TID251 -- for the name of its error alone
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from onnxprune.errors import ModelError
from onnxprune.models.mobilenet import MobileNetV2
from onnxprune.models.resnet import CifarResNet
from onnxprune.models.vgg import VGG16, VGG19, Vgg

DEPTHS = (20, 32, 44, 56, 110)

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{
        f"resnet{depth}{suffix}": partial(CifarResNet, (depth - 2) // 6, shortcut=shortcut)
        for depth in DEPTHS
        for suffix, shortcut in (("", "a"), ("_b", "b"))
    },
    "vgg16_bn": partial(Vgg, VGG16),
    "vgg19_bn": partial(Vgg, VGG19),
    "mobilenet_v2": MobileNetV2,
}


def load_network(name: str, weights: Path) -> nn.Module:
    """The network with the weights that its training wrote.

    Args:
        name: A key of `NETWORKS`.
        weights: weights.pt of the run.

    Raises:
        ModelError: The file is missing, no file of weights, or made by another network.
    """
    network = NETWORKS[name]()
    try:
        network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise ModelError(
            "E301",
            f"{weights}: no weights of {name}",
            cause=(str(error) or type(error).__name__).splitlines()[0],
            hint=f"python -m onnxprune.models.train {name} --data cifar10.npz --out {weights.parent}",
        ) from error
    return network.eval()

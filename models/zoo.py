"""The networks by name."""

from collections.abc import Callable
from functools import partial

from torch import nn

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

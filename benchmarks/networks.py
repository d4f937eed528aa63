"""The networks of the benchmarks: torch modules of the published sizes, with random weights.

torchvision does not load beside every torch, so the few that are needed are written out here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onnxprune.models.mobilenet import MobileNetV2
from onnxprune.models.resnet import CifarResNet
from onnxprune.models.vgg import POOL, VGG19


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class Bottleneck(nn.Module):
    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.a = conv_bn(in_channels, width, 1)
        self.b = conv_bn(width, width, 3, stride)
        self.c = conv_bn(width, 4 * width, 1)
        same = stride == 1 and in_channels == 4 * width
        self.shortcut = nn.Identity() if same else conv_bn(in_channels, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.b(F.relu(self.a(x))))
        return F.relu(self.c(y) + self.shortcut(x))


def resnet50() -> nn.Module:
    """25.6 M parameters (He et al. 2016)."""
    layers: list[nn.Module] = [conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, (width, repeats) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for index in range(repeats):
            layers.append(Bottleneck(channels, width, 2 if stage and index == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class DenseLayer(nn.Module):
    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


def densenet121(growth: int = 32) -> nn.Module:
    """8.0 M parameters (Huang et al. 2017)."""
    layers: list[nn.Module] = [conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, repeats in enumerate((6, 12, 24, 16)):
        if stage:
            transition = nn.Conv2d(channels, channels // 2, 1, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), transition, nn.AvgPool2d(2)]
            channels //= 2
        for _ in range(repeats):
            layers.append(DenseLayer(channels, growth))
            channels += growth
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(channels, 1000))


def vgg19_bn() -> nn.Module:
    """143.7 M parameters (Simonyan & Zisserman 2015), the one with three classifier layers."""
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG19:
        if width == POOL:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, S, E)
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, S, D)
        scores = q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5
        y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """86.6 M parameters as ViT-B/16 (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


@dataclass(frozen=True)
class Network:
    make: Callable[[], nn.Module]
    size: int  # height and width of the input


NETWORKS = {
    "resnet56": Network(partial(CifarResNet, 9), 32),
    "resnet50": Network(resnet50, 224),
    "densenet121": Network(densenet121, 224),
    "vgg19_bn": Network(vgg19_bn, 224),
    "mobilenet_v2": Network(partial(MobileNetV2, classes=1000, small_input=False), 224),
    "vit_b_16": Network(VisionTransformer, 224),
}


@torch.no_grad()
def randomized(module: nn.Module) -> nn.Module:
    """Fresh biases and normalisation parameters are all alike, and exporters tie equal tensors, in place."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(part.weight, 0.5, 1.5)
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.get_buffer("running_var"), 0.5, 1.5)
            nn.init.normal_(part.get_buffer("running_mean"), std=0.1)
        if isinstance(bias := getattr(part, "bias", None), Tensor):
            nn.init.normal_(bias, std=0.1)
    return module


def exported(name: str, folder: Path) -> Path:
    """The network as an ONNX file with BatchNormalization kept, made once a folder."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        network = NETWORKS[name]
        image = torch.randn(1, 3, network.size, network.size)
        torch.onnx.export(
            randomized(network.make()).eval(),
            (image,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "N"}},
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return path

"""Small networks whose coupling goes through shapes, sizes, norms and activations."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.networks.convolutional import CLASSES, Add, Apply, classifier, conv_bn_relu


class UNet(nn.Module):
    """Two levels; the way up is by `up(before, after)`, the skips are concatenated."""

    def __init__(self, up: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.enter = conv_bn_relu(3, 8)
        self.down = conv_bn_relu(8, 16)
        self.bottom = conv_bn_relu(16, 24)
        self.up1, self.join1 = up(24, 16), conv_bn_relu(32, 16)
        self.up2, self.join2 = up(16, 8), conv_bn_relu(16, 8)
        self.leave = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 2, H, W)
        wide = self.enter(x)
        middle = self.down(functional.max_pool2d(wide, 2))
        bottom = self.bottom(functional.max_pool2d(middle, 2))
        middle = self.join1(torch.cat([middle, self.up1(bottom)], dim=1))
        wide = self.join2(torch.cat([wide, self.up2(middle)], dim=1))
        return self.leave(wide)


def unet() -> nn.Module:
    return UNet(lambda before, after: nn.ConvTranspose2d(before, after, 2, 2))


def unet_resize() -> nn.Module:
    def up(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, 1, 1))

    return UNet(up)


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions, resized sums from the top, one shared head."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 16, 24)
        self.stages = nn.ModuleList(
            conv_bn_relu(before, after, stride=2) for before, after in zip((3, 8, 16), widths, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, 12, 1) for width in widths)
        self.smooth = nn.Conv2d(12, 12, 3, 1, 1)
        self.head = nn.Conv2d(12, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, classes)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        merged = self.laterals[-1](levels[-1])
        outputs = [self.head(self.smooth(merged))]
        for lateral, level in zip(reversed(self.laterals[:-1]), reversed(levels[:-1]), strict=True):
            merged = lateral(level) + functional.interpolate(merged, size=level.shape[2:], mode="nearest")
            outputs.append(self.head(self.smooth(merged)))
        return torch.stack([output.mean(dim=(2, 3)) for output in outputs]).sum(0)


def pixel_shuffle() -> nn.Module:
    """Super-resolution by two; channels become space."""
    return nn.Sequential(
        conv_bn_relu(3, 16),
        nn.Conv2d(16, 48, 3, 1, 1),
        nn.PixelShuffle(2),
        nn.ReLU(),
        nn.Conv2d(12, 3, 3, 1, 1),
    )


def pixel_unshuffle() -> nn.Module:
    return classifier(conv_bn_relu(3, 8), nn.PixelUnshuffle(2), conv_bn_relu(32, 16), width=16)


def spatial_flatten() -> nn.Module:
    """Each channel feeds 64 columns of the Linear layer."""
    return nn.Sequential(
        conv_bn_relu(3, 12),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(12 * 64, 24),
        nn.ReLU(),
        nn.Linear(24, CLASSES),
    )


def constant_reshape() -> nn.Module:
    """As `spatial_flatten`, by a view whose extents are written out."""
    return nn.Sequential(
        conv_bn_relu(3, 12), nn.MaxPool2d(8), Apply(lambda x: x.reshape(-1, 192)), nn.Linear(192, CLASSES)
    )


def mean_head() -> nn.Module:
    return nn.Sequential(conv_bn_relu(3, 12), Apply(lambda x: x.mean(dim=(2, 3))), nn.Linear(12, CLASSES))


def hard_swish() -> nn.Module:
    """Hard-swish as one operator and written out."""
    return classifier(
        nn.Conv2d(3, 12, 3, 1, 1),
        Apply(lambda x: x * functional.relu6(x + 3) / 6),
        nn.Conv2d(12, 16, 3, 1, 1),
        nn.Hardswish(),
        width=16,
    )


def gelu() -> nn.Module:
    """Both forms of GELU, and SiLU."""
    return classifier(
        nn.Conv2d(3, 12, 3, 1, 1), nn.GELU(), nn.Conv2d(12, 16, 3, 1, 1), nn.GELU("tanh"),
        nn.Conv2d(16, 8, 1), nn.SiLU(), width=8,
    )  # fmt: skip


def prelu() -> nn.Module:
    return classifier(nn.Conv2d(3, 12, 3, 1, 1), nn.PReLU(12), nn.Conv2d(12, 8, 3, 1, 1), nn.PReLU(), width=8)


def glu() -> nn.Module:
    """One half of the channels gates the other."""
    return classifier(
        nn.Conv2d(3, 24, 3, 1, 1), nn.GLU(dim=1), nn.Conv2d(12, 16, 3, 1, 1), nn.GLU(dim=1), width=8
    )


def group_norm() -> nn.Module:
    body = nn.Sequential(
        nn.Conv2d(16, 16, 3, 1, 1), nn.GroupNorm(4, 16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1)
    )
    return classifier(conv_bn_relu(3, 16), Add(body, nn.Identity()), nn.GroupNorm(2, 16), nn.ReLU(), width=16)


def instance_norm() -> nn.Module:
    return classifier(
        nn.Conv2d(3, 12, 3, 1, 1),
        nn.InstanceNorm2d(12, affine=True),
        nn.ReLU(),
        nn.Conv2d(12, 8, 3, 1, 1),
        width=8,
    )


class ConvNextBlock(nn.Module):
    """Depthwise 7x7, LayerNorm over channels, inverted bottleneck in NHWC, layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))  # (N, H, W, C)
        y = self.scale * self.narrow(functional.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    stem = nn.Conv2d(3, 12, 4, 4)
    return classifier(stem, ConvNextBlock(12), ConvNextBlock(12), width=12)


class FanOut(nn.Module):
    """One convolution feeds three others; a constant image and a scalar affine are on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 12, 3, 1, 1)
        self.bias = nn.Parameter(torch.zeros(12, 1, 1))
        self.one = nn.Conv2d(12, 8, 1)
        self.two = nn.Conv2d(12, 8, 3, 1, 1)
        self.three = nn.Conv2d(12, 10, 3, 1, 1)
        self.fc = nn.Linear(18, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.enter(x) * 0.5 + 0.25 + self.bias)
        both = torch.cat([self.one(x) + self.two(x), self.three(x)], dim=1)
        return self.fc(functional.relu(both).amax(dim=(2, 3)))


def conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 12, 5, padding=2), nn.BatchNorm1d(12), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(12, 8, 3),
        nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, CLASSES),
    )  # fmt: skip


def conv3d() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 12, 3),
        nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(12, CLASSES),
    )  # fmt: skip


def autoencoder() -> nn.Module:
    """Transposed convolutions, one of them in groups."""
    return nn.Sequential(
        conv_bn_relu(3, 8, stride=2), conv_bn_relu(8, 16, stride=2),
        nn.ConvTranspose2d(16, 16, 4, 2, 1, groups=4), nn.BatchNorm2d(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.Sigmoid(),
    )  # fmt: skip


SPATIAL: dict[str, Callable[[], nn.Module]] = {
    "unet": unet,
    "unet_resize": unet_resize,
    "feature_pyramid": FeaturePyramid,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "spatial_flatten": spatial_flatten,
    "constant_reshape": constant_reshape,
    "mean_head": mean_head,
    "hard_swish": hard_swish,
    "gelu": gelu,
    "prelu": prelu,
    "glu": glu,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "convnext": convnext,
    "fan_out": FanOut,
    "conv1d": conv1d,
    "conv3d": conv3d,
    "autoencoder": autoencoder,
}

"""Small convolutional networks, one for each way in which channels are coupled."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 5
WIDTH = 16


def conv_bn_relu(
    before: int, after: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def classifier(*body: nn.Module, width: int) -> nn.Sequential:
    """`body`, global average pool and a Linear."""
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


class Add(nn.Module):
    """The sum of the branches' outputs; a residual block has an Identity among them."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        total = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class Concat(nn.Module):
    """The branches' outputs, concatenated by channel."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Apply(nn.Module):
    """A function without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def plain() -> nn.Module:
    return classifier(conv_bn_relu(3, 12), conv_bn_relu(12, 20), conv_bn_relu(20, WIDTH), width=WIDTH)


def residual() -> nn.Module:
    """Two blocks around the identity, one around a strided projection."""

    def block(before: int, after: int) -> nn.Module:
        stride = 1 if before == after else 2
        body = nn.Sequential(
            conv_bn_relu(before, after, stride=stride),
            nn.Conv2d(after, after, 3, 1, 1),
            nn.BatchNorm2d(after),
        )
        shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, 2)
        return nn.Sequential(Add(body, shortcut), nn.ReLU())

    return classifier(conv_bn_relu(3, 8), block(8, 8), block(8, 8), block(8, WIDTH), width=WIDTH)


def residual_option_a() -> nn.Module:
    """The parameter-free shortcut: strided slice and zero channels on both sides."""
    shortcut = Apply(lambda x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))
    body = nn.Sequential(
        conv_bn_relu(8, WIDTH, stride=2), nn.Conv2d(WIDTH, WIDTH, 3, 1, 1), nn.BatchNorm2d(WIDTH)
    )
    return classifier(conv_bn_relu(3, 8), Add(body, shortcut), nn.ReLU(), conv_bn_relu(WIDTH, 8), width=8)


def inverted_residual() -> nn.Module:
    def body() -> nn.Module:
        return nn.Sequential(
            conv_bn_relu(8, 24, kernel=1),
            conv_bn_relu(24, 24, groups=24),
            nn.Conv2d(24, 8, 1),
            nn.BatchNorm2d(8),
        )

    return classifier(
        conv_bn_relu(3, 8),
        Add(body(), nn.Identity()),
        Add(body(), nn.Identity()),
        conv_bn_relu(8, WIDTH),
        width=WIDTH,
    )


def depthwise_multiplier() -> nn.Module:
    """Each input channel of the depthwise convolution gives two."""
    return classifier(
        conv_bn_relu(3, 8), conv_bn_relu(8, 16, groups=8), conv_bn_relu(16, 12, kernel=1), width=12
    )


def grouped() -> nn.Module:
    """ResNeXt block: a convolution in four groups inside a residual."""
    body = nn.Sequential(conv_bn_relu(8, 16, kernel=1), conv_bn_relu(16, 16, groups=4), nn.Conv2d(16, 8, 1))
    return classifier(conv_bn_relu(3, 8), Add(body, nn.Identity()), nn.ReLU(), width=8)


def densenet() -> nn.Module:
    """BatchNormalization after every concatenation, and a transition."""

    def layer(width: int) -> nn.Module:
        grown = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 8, 3, 1, 1, bias=False))
        return Concat(nn.Identity(), grown)

    transition = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 12, 1), nn.AvgPool2d(2))
    last = nn.Sequential(nn.BatchNorm2d(20), nn.ReLU())
    return classifier(
        conv_bn_relu(3, 8), layer(8), layer(16), layer(24), transition, layer(12), last, width=20
    )


class SqueezeExcite(nn.Module):
    """The input times a gate for each channel, by convolutions or by Linear layers."""

    def __init__(self, width: int, gate: nn.Module, *, linear: bool = False) -> None:
        super().__init__()
        self.gate = gate
        self.linear = linear
        self.down = nn.Linear(width, 8) if linear else nn.Conv2d(width, 8, 1)
        self.up = nn.Linear(8, width) if linear else nn.Conv2d(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3)) if self.linear else functional.adaptive_avg_pool2d(x, 1)
        gates = self.gate(self.up(functional.relu(self.down(pooled))))
        return x * (gates[:, :, None, None] if self.linear else gates)


def squeeze_excite() -> nn.Module:
    """Three gates, each inside a residual."""

    def block(excite: nn.Module) -> nn.Module:
        return nn.Sequential(Add(nn.Sequential(conv_bn_relu(WIDTH, WIDTH), excite), nn.Identity()), nn.ReLU())

    return classifier(
        conv_bn_relu(3, WIDTH),
        block(SqueezeExcite(WIDTH, nn.Sigmoid())),
        block(SqueezeExcite(WIDTH, nn.Hardsigmoid())),
        block(SqueezeExcite(WIDTH, nn.Sigmoid(), linear=True)),
        width=WIDTH,
    )


class C2f(nn.Module):
    """Split in two; a bottleneck continues one half; all parts are concatenated (YOLOv8)."""

    def __init__(self, width: int, *, bottlenecks: int = 2) -> None:
        super().__init__()
        half = width // 2
        self.enter = conv_bn_relu(width, width, kernel=1)
        self.bottlenecks = nn.ModuleList(
            Add(nn.Sequential(conv_bn_relu(half, half), conv_bn_relu(half, half)), nn.Identity())
            for _ in range(bottlenecks)
        )
        self.leave = conv_bn_relu(half * (2 + bottlenecks), width, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, dim=1))
        for bottleneck in self.bottlenecks:
            parts.append(bottleneck(parts[-1]))
        return self.leave(torch.cat(parts, dim=1))


def c2f() -> nn.Module:
    return classifier(conv_bn_relu(3, WIDTH), C2f(WIDTH), conv_bn_relu(WIDTH, 12), width=12)


def shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels."""
    count, width, height, columns = x.shape
    pairs = x.reshape(count, 2, width // 2, height, columns).transpose(1, 2)
    return pairs.reshape(count, width, height, columns)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, half are convolved; then the halves are interleaved (ShuffleNetV2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            conv_bn_relu(half, half, kernel=1),
            nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            conv_bn_relu(half, half, kernel=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        passed, convolved = x.chunk(2, dim=1)
        return shuffle(torch.cat([passed, self.branch(convolved)], dim=1))


def shufflenet() -> nn.Module:
    return classifier(conv_bn_relu(3, 16), ShuffleUnit(16), ShuffleUnit(16), conv_bn_relu(16, 12), width=12)


def grouped_shuffle() -> nn.Module:
    """Channel shuffle between two grouped convolutions (ShuffleNetV1)."""
    return classifier(
        conv_bn_relu(3, 16), conv_bn_relu(16, 24, kernel=1, groups=2), Apply(shuffle),
        conv_bn_relu(24, 16, kernel=1, groups=2), width=16,
    )  # fmt: skip


CONVOLUTIONAL: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "residual": residual,
    "residual_option_a": residual_option_a,
    "inverted_residual": inverted_residual,
    "depthwise_multiplier": depthwise_multiplier,
    "grouped": grouped,
    "densenet": densenet,
    "squeeze_excite": squeeze_excite,
    "c2f": c2f,
    "shufflenet": shufflenet,
    "grouped_shuffle": grouped_shuffle,
}

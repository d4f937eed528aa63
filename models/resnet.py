"""CIFAR ResNets: 6n+2 layers for 32x32 images (He et al. 2016, section 4.2)."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

STAGE_WIDTHS = (16, 32, 64)


class PadShortcut(nn.Module):
    """Option A: every second pixel, the new channels filled with zeros. It has no parameters."""

    def __init__(self, extra_channels: int) -> None:
        super().__init__()
        self.before = extra_channels // 2
        self.after = extra_channels - self.before

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C + extra, H/2, W/2)
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def projection_shortcut(in_channels: int, out_channels: int) -> nn.Module:
    """Option B: a strided 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def pad_shortcut(in_channels: int, out_channels: int) -> nn.Module:
    return PadShortcut(out_channels - in_channels)


SHORTCUTS: dict[str, Callable[[int, int], nn.Module]] = {
    "a": pad_shortcut,
    "b": projection_shortcut,
}


class BasicBlock(nn.Module):
    """conv-bn-relu-conv-bn, added to the shortcut."""

    def __init__(self, in_channels: int, out_channels: int, shortcut: str) -> None:
        super().__init__()
        stride = 1 if in_channels == out_channels else 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity() if stride == 1 else SHORTCUTS[shortcut](in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """Three stages of `blocks` basic blocks with 16, 32 and 64 channels."""

    def __init__(self, blocks: int, *, shortcut: str = "a", classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STAGE_WIDTHS[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(STAGE_WIDTHS[0])
        layers: list[nn.Module] = []
        width = STAGE_WIDTHS[0]
        for out_channels in STAGE_WIDTHS:
            for _ in range(blocks):
                layers.append(BasicBlock(width, out_channels, shortcut))
                width = out_channels
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, classes)
        x = self.blocks(functional.relu(self.bn(self.stem(x))))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits

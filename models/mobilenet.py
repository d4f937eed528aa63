"""MobileNetV2 (Sandler et al. 2018), strides fitted to 32x32 images by default."""

from torch import Tensor, nn

# expansion, channels, repeats, stride: table 2 of the paper
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv_bn_relu6(
    in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    ]


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.body = nn.Sequential(
            *(conv_bn_relu6(in_channels, hidden) if expansion != 1 else []),
            *conv_bn_relu6(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """`small_input` keeps the resolution in the stem and the first stage, as is usual for 32x32."""

    def __init__(self, *, classes: int = 10, small_input: bool = True) -> None:
        super().__init__()
        layers = conv_bn_relu6(3, 32, kernel=3, stride=1 if small_input else 2)
        width = 32
        for stage, (expansion, channels, repeats, stride) in enumerate(BLOCKS):
            first = 1 if small_input and stage == 1 else stride
            for index in range(repeats):
                step = first if index == 0 else 1
                layers.append(InvertedResidual(width, channels, expansion, step))
                width = channels
        layers += conv_bn_relu6(width, 1280)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, classes)
        logits: Tensor = self.fc(self.features(x))
        return logits

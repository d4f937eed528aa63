"""VGG with BatchNormalization for 32x32 images (Simonyan & Zisserman 2015; one classifier layer)."""

from torch import Tensor, nn

POOL = 0
VGG16 = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512)
VGG19 = (
    *(64, 64, POOL, 128, 128, POOL, 256, 256, 256, 256, POOL),
    *(512, 512, 512, 512, POOL, 512, 512, 512, 512),
)


class Vgg(nn.Module):
    """A chain of 3x3 convolutions; `plan` gives their widths, 0 a 2x2 max pool."""

    def __init__(self, plan: tuple[int, ...], *, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for out_channels in plan:
            if out_channels == POOL:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [
                nn.Conv2d(width, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(),
            ]
            width = out_channels
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, classes)
        logits: Tensor = self.fc(self.features(x))
        return logits

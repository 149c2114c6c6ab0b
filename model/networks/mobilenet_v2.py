"""MobileNetV2 (Sandler et al., arXiv 1801.04381, table 2), under torchvision's names."""

from __future__ import annotations

from torch import Tensor, nn

from fakeit.model.networks.network import Backbone, NetworkConfig

# t expansion, c channels, n repeats, s stride of the first.
TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def divisible(value: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `value`, never more than 10 % below it."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


class ConvBN(nn.Sequential):
    """Convolution, batch norm, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depthwise, 1×1 linear projection; added to its input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        expand = [ConvBN(inputs, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            ConvBN(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNetV2(Backbone):
    """All of MobileNetV2's maps, (N, channels, H / 32, W / 32)."""

    def __init__(self, config: NetworkConfig, channels: int, size: int) -> None:
        super().__init__()
        inputs = divisible(32 * config.width)
        layers: list[nn.Module] = [ConvBN(channels, inputs, 3, 2)]
        for expansion, width, repeats, stride in TABLE:
            outputs = divisible(width * config.width)
            for index in range(repeats):
                layers.append(InvertedResidual(inputs, outputs, stride if index == 0 else 1, expansion))
                inputs = outputs
        self.channels = divisible(1280 * max(1.0, config.width))
        layers.append(ConvBN(inputs, self.channels, 1))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)  # type: ignore[no-any-return]

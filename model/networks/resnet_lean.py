"""A narrow ResNet for processors: dense 3×3 convolutions run near a CPU's peak, depthwise ones far below it.

It trains twice as fast as MobileNetV2 there. The stem has stride 2 and no pooling; shortcuts average before they
project (ResNet-D, arXiv 1812.01187), so that no pixel is skipped.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fakeit.model.networks.network import Backbone, NetworkConfig, activation

WIDTHS, DEPTHS = (32, 64, 128, 256), (2, 2, 2, 2)
STEM = 3  # layers before the first block
STAGE_ENDS = tuple(STEM + sum(DEPTHS[:stage]) - 1 for stage in (2, 3, 4))  # of strides 8, 16, 32


class Halve(nn.Module):
    """Average pooling that keeps an odd map's last row and column. Said only where there is one: exported, a pooling
    that may reach beyond the edge is three times as slow in onnxruntime."""

    def forward(self, x: Tensor) -> Tensor:
        odd = bool(x.shape[2] % 2 or x.shape[3] % 2)
        return functional.avg_pool2d(x, 2, ceil_mode=odd, count_include_pad=False)


class LeanBlock(nn.Module):
    """Two dense 3×3 convolutions; the shortcut averages before it projects."""

    def __init__(self, inputs: int, outputs: int, stride: int, act: str = "relu") -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = activation(act)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            pool = Halve() if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.shortcut(x))  # type: ignore[no-any-return]


class ResNetLean(Backbone):
    """The whole network's maps, (N, channels, H / 32, W / 32)."""

    def __init__(self, config: NetworkConfig, channels: int, size: int) -> None:
        super().__init__()
        widths = [max(8, round(w * config.width / 8) * 8) for w in WIDTHS]
        stem = max(8, round(24 * config.width / 8) * 8)
        act = config.activation or "relu"
        layers: list[nn.Module] = [
            nn.Conv2d(channels, stem, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            activation(act),
        ]
        inputs = stem
        for width, depth in zip(widths, DEPTHS, strict=True):
            for index in range(depth):
                layers.append(LeanBlock(inputs, width, 2 if index == 0 else 1, act))
                inputs = width
        self.layers = nn.Sequential(*layers)
        self.channels = inputs

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]

    def pyramid(self, pixels: Tensor) -> list[Tensor]:
        """Maps of strides 8, 16 and 32."""
        maps = []
        for index, layer in enumerate(self.layers):
            pixels = layer(pixels)
            if index in STAGE_ENDS:
                maps.append(pixels)
        return maps

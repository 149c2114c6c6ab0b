"""The small Xception of the mission: a full-resolution stem, two residual entry blocks, six middle blocks, LeakyReLU.

With one grey channel and 68 points (136 outputs) it has exactly 2,630,888 parameters; the tests hold it to that.
"""

from __future__ import annotations

from torch import Tensor, nn

from fakeit.model.networks.network import Backbone, NetworkConfig, activation


class Separable(nn.Sequential):
    """Depthwise 3×3, pointwise 1×1, batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )


class Shrink(nn.Module):
    """`body`, then a 3×3 max-pool of stride 2, plus a 1×1 stride-2 projection of the input."""

    def __init__(self, inputs: int, outputs: int, body: nn.Module) -> None:
        super().__init__()
        self.body, self.pool = body, nn.MaxPool2d(3, 2, 1)
        self.project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.body(x)) + self.project(x)  # type: ignore[no-any-return]


class Middle(nn.Module):
    """x + three times [activation, separable]."""

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(3):
            layers += [activation(act, inplace=index > 0), Separable(channels, channels)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


class XceptionSmall(Backbone):
    """The baseline's network without its head; maps of 1,024 channels."""

    channels = 1024

    def __init__(self, config: NetworkConfig, channels: int, size: int) -> None:
        super().__init__()
        act = config.activation or "leaky_relu"

        def layer(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), activation(act)]

        self.stem = nn.Sequential(*layer(channels, 32), *layer(32, 64))
        entry = [
            Shrink(64, 128, nn.Sequential(Separable(64, 64), activation(act), Separable(64, 128))),
            Shrink(128, 256, self._two(128, 128, 256, act)),
        ]
        self.entry = nn.Sequential(*entry)
        self.middle = nn.Sequential(*(Middle(256, act) for _ in range(6)))
        self.exit = nn.Sequential(
            Shrink(256, 512, self._two(256, 256, 512, act)),
            *(Separable(512, 512), activation(act), Separable(512, 1024), activation(act)),
        )

    @staticmethod
    def _two(inputs: int, inner: int, outputs: int, act: str) -> nn.Module:
        first = activation(act, inplace=False)  # the input also goes to the projection
        return nn.Sequential(first, Separable(inputs, inner), activation(act), Separable(inner, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.exit(self.middle(self.entry(self.stem(x))))  # type: ignore[no-any-return]

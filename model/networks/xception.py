"""Xception as its paper has it (Chollet, arXiv 1610.02357), and its variants: LeakyReLU, six middle blocks.

Names and order of the layers are those of the public PyTorch port (22,855,952 parameters with 1000 classes), so that
its weights load by name.
"""

from __future__ import annotations

from torch import Tensor, nn

from fakeit.model.networks.network import Backbone, NetworkConfig, activation


class SeparableConv(nn.Module):
    """3×3 depthwise, then 1×1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """`repeats` × [activation, separable, BN], a max-pool when strided, plus the (projected) input."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int,
        stride: int,
        act: str,
        starts: bool = True,
        grows_first: bool = True,
    ) -> None:
        super().__init__()
        self.skip: nn.Module | None = None
        if outputs != inputs or stride != 1:
            self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(outputs)
        layers: list[nn.Module] = []
        for index in range(repeats):
            grown = grows_first if index < repeats - 1 else True
            before = inputs if index == 0 or not grows_first else outputs
            after = outputs if grown else inputs
            layers += [activation(act, inplace=index > 0), SeparableConv(before, after), nn.BatchNorm2d(after)]
        if not starts:
            layers = layers[1:]
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.skip is None else self.skipbn(self.skip(x))
        return self.rep(x) + kept  # type: ignore[no-any-return]


class Xception(Backbone):
    """`middle_blocks` is 8 in the paper."""

    channels = 2048

    def __init__(self, config: NetworkConfig, channels: int, act: str = "relu", middle_blocks: int = 8) -> None:
        super().__init__()
        act = config.activation or act
        self.conv1, self.bn1 = nn.Conv2d(channels, 32, 3, 2, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64)
        self.block1 = Block(64, 128, 2, 2, act, starts=False)
        self.block2 = Block(128, 256, 2, 2, act)
        self.block3 = Block(256, 728, 2, 2, act)
        self.middle = [f"block{4 + i}" for i in range(middle_blocks)]
        for name in self.middle:
            self.add_module(name, Block(728, 728, 3, 1, act))
        self.block12 = Block(728, 1024, 2, 2, act, grows_first=False)
        self.conv3, self.bn3 = SeparableConv(1024, 1536), nn.BatchNorm2d(1536)
        self.conv4, self.bn4 = SeparableConv(1536, 2048), nn.BatchNorm2d(2048)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.bn2(self.conv2(x)))
        for name in ("block1", "block2", "block3", *self.middle, "block12"):
            x = self.get_submodule(name)(x)
        x = self.act(self.bn3(self.conv3(x)))
        return self.act(self.bn4(self.conv4(x)))  # type: ignore[no-any-return]


def xception(config: NetworkConfig, channels: int, size: int) -> Backbone:
    """As the paper has it."""
    return Xception(config, channels)


def xception_leaky(config: NetworkConfig, channels: int, size: int) -> Backbone:
    """With LeakyReLU."""
    return Xception(config, channels, act="leaky_relu")


def xception_mid6(config: NetworkConfig, channels: int, size: int) -> Backbone:
    """With six middle blocks."""
    return Xception(config, channels, middle_blocks=6)

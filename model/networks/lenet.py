"""LeNet-5 as the lecture builds it: two convolutions, then three linear layers (the last is the head), at any size."""

from __future__ import annotations

from torch import Tensor, nn

from fakeit.model.networks.network import Backbone, NetworkConfig, activation


class LeNet(Backbone):
    """LeNet-5 with a modern width; a flat vector of features."""

    channels, flat = 84, True

    def __init__(self, config: NetworkConfig, channels: int, size: int) -> None:
        super().__init__()
        act = config.activation or "relu"
        side = ((size - 4) // 2 - 4) // 2
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, 6, 5), activation(act), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), activation(act), nn.MaxPool2d(2)),
            nn.Flatten(),
            *(nn.Linear(16 * side * side, 120), activation(act)),
            *(nn.Linear(120, 84), activation(act)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]

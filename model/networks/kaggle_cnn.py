"""The baseline of the Kaggle facial keypoints work: three 3×3 convolutions (32, 64, 128; pooled after the first two),
a dense layer of 64, dropout. At 96×96 grey and 30 outputs it has 3,371,486 parameters. The activation is an option.
"""

from __future__ import annotations

from torch import Tensor, nn

from fakeit.model.networks.network import Backbone, NetworkConfig, activation


class KaggleCNN(Backbone):
    """The competition's convolutional network; a flat vector of features."""

    channels, flat = 64, True

    def __init__(self, config: NetworkConfig, channels: int, size: int) -> None:
        super().__init__()
        act = config.activation or "relu"
        side = ((size - 2) // 2 - 2) // 2 - 2
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, 32, 3), activation(act), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), activation(act), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 3), activation(act)),
            nn.Flatten(),
            *(nn.Linear(128 * side * side, 64), activation(act)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]

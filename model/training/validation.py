"""The whole of a split through a network: no augmentation, every face once, sums added over ranks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.loader import Loader
from fakeit.model.data.pixel_ops import displayable
from fakeit.model.distributed.communicator import Comm, all_reduce
from fakeit.model.training.losses import LossConfig, per_point
from fakeit.model.training.metrics import Metrics, batch_sums, from_sums
from fakeit.pipelines.landmarks import Scheme


@torch.no_grad()
def validate(
    network: nn.Module, loader: Loader, augmenter: Augmenter, loss: LossConfig, scheme: Scheme, comm: Comm
) -> Metrics:
    """Figures of `network` (in eval mode afterwards) over every row of the loader's split, on all ranks the same."""
    network.eval()
    sums = torch.zeros(8, dtype=torch.float64, device=loader.device)
    for batch in loader.epoch(0):
        pixels, landmarks, _ = augmenter(batch.images, batch.landmarks)
        prediction = network(pixels)
        losses = per_point(prediction, landmarks, batch.weight, loss)
        sums += batch_sums(prediction.points, landmarks, batch.weight, losses, scheme)
    return from_sums(all_reduce(comm, sums))


@torch.no_grad()
def some_predictions(
    network: nn.Module, loader: Loader, augmenter: Augmenter, count: int = 16
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The first `count` faces of a split: pixels (N, S, S, C) uint8 and predicted points (N, K, 2) unit crop."""
    network.eval()
    images = np.empty((min(count, loader.store.rows), *_row(loader)), np.uint8)
    landmarks = loader.store.gather(np.arange(len(images)), images).landmarks
    pixels, _, _ = augmenter(torch.from_numpy(images).to(loader.device), torch.from_numpy(landmarks).to(loader.device))
    points = network(pixels).points
    return displayable(pixels).cpu().numpy(), points.float().cpu().numpy()


def _row(loader: Loader) -> tuple[int, int, int]:
    shape = loader.store.shape
    return shape.size, shape.size, shape.channels

"""What a run leaves in MLflow beside figures: the network as a program that needs none of our code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fakeit.model.networks import LandmarkNetwork


def log_model(run: str, network: LandmarkNetwork) -> None:
    """Logs `network` (moved to the CPU) as an exported torch program with its signature, to MLflow's current store."""
    import mlflow
    import mlflow.pytorch
    import torch
    from mlflow.models import infer_signature

    class Points(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images).points  # type: ignore[no-any-return]

    side = network.size
    example = np.zeros((2, side, side, network.channels), np.uint8)
    with torch.no_grad():
        points = network.cpu().eval()(torch.from_numpy(example)).points.numpy()
    for noisy in ("mlflow", "torch.export"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with mlflow.start_run(run_id=run):
        mlflow.pytorch.log_model(
            Points().eval(),
            name="model",
            signature=infer_signature(example, points),
            input_example=example,
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "numpy<2"],
        )

"""The box can be trained on: its ONNX file unfolds into the network it came from."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from fakeit.model.inference.backends import OnnxBackend
from fakeit.model.tracking.catalogue import locate
from fakeit.model.training import checkpoint
from fakeit.model.training.from_onnx import network_from_onnx, pairs
from tests.pattern_face import picture, placed

BOX = locate("box")


def crops(count: int = 12) -> np.ndarray:
    made = [picture([placed(60 + 2 * i, 70, 1.0 + 0.05 * i)], 160, 160)[0] for i in range(count)]
    side = network_from_onnx(BOX)[2].size
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in made])


def test_torch_gives_the_points_of_the_file() -> None:
    network, _, crop = network_from_onnx(BOX)
    with torch.no_grad():
        made = network(torch.from_numpy(crops()))
    points, sigma = OnnxBackend(BOX).run(crops())[:2]
    assert np.abs(made.points.numpy() - points).max() * crop.size < 2e-3
    assert made.log_sigma is not None and sigma is not None
    assert np.abs(made.log_sigma.numpy() - sigma).max() < 1e-3


def test_its_norms_have_statistics_of_faces_so_that_training_goes_on_from_there() -> None:
    """Folded norms would have mean 0 and variance 1, and the first training step would see another network."""
    network, _, _ = network_from_onnx(BOX)
    norms = [norm for _, _, norm in pairs(network)]
    assert len(norms) == sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules()) == 22
    variances = [norm.running_var for norm in norms if norm.running_var is not None]
    assert len(variances) == 22 and all((one - 1).abs().max() > 0.01 and one.std() > 0 for one in variances)


def test_it_loads_as_a_checkpoint_by_its_name() -> None:
    stored = checkpoint.load("box")
    assert (stored.scheme, stored.network.name, stored.crop.size) == ("face70", "resnet_lean", 128)
    assert checkpoint.load(BOX).network == stored.network

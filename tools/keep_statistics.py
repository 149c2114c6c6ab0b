#!/usr/bin/env python
"""What an exported network needs besides its ONNX file to be trained on: its conf and its batch norms' statistics.

Exporting folds the norms away; here they are measured anew, on crops of rendered faces (`jobs/synthesize.py`):

    python jobs/synthesize.py --count 300 --size 160 --seed 11 --output FACES
    python tools/keep_statistics.py model/box/face70.onnx FACES --conf conf/train/box.toml
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
from torch import Tensor, nn

from fakeit.model.inference.backends import OnnxBackend
from fakeit.model.networks.factory import build
from fakeit.model.training.config import TrainConfig
from fakeit.model.training.from_onnx import network_from_onnx, opened, pairs, statistics_path, take_unfolded
from fakeit.pipelines.config import load, to_dict
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.faces.crop import CropConfig, Picture, crop_from_source
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import open_source


def crops_of(folder: str, crop: CropConfig) -> np.ndarray:
    """Rendered faces as crops (N, size, size, channels) uint8, by their true points."""
    source = open_source("face_synthetics", folder)
    made = []
    for sample in source.samples():
        matrix = crop_from_source(from_landmarks(source.read(sample).landmarks), crop)
        made.append(Picture(source.image(sample), crop.colour).warp(matrix, crop.size))
    return np.stack(made)


def measure(path: Path, conf: str, crops: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and variance of each convolution's output before its norm, and the network's conf as JSON."""
    config, metadata = load(conf, TrainConfig).network, OnnxBackend(path).metadata
    network = build(config, scheme(metadata.scheme).count, metadata.crop.channels, metadata.crop.size).eval()
    (_, folded), stored = opened(path), {"network": np.array(json.dumps(to_dict(config)))}
    sums: dict[str, list[Tensor]] = {}

    def look(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            flat = output.double()
            sums.setdefault(name, []).append(torch.stack([flat.mean((0, 2, 3)), flat.square().mean((0, 2, 3))]))
            return output + folded[f"{name}.bias"].reshape(1, -1, 1, 1)

        return hook

    found = pairs(network)
    take_unfolded(network, found, folded, path)
    with torch.no_grad():
        for name, convolution, norm in found:
            convolution.weight.copy_(folded[f"{name}.weight"])
            norm.running_var.fill_(1 - norm.eps)  # lets what comes through as it is
            convolution.register_forward_hook(look(name))
        for start in range(0, len(crops), 50):
            network(torch.from_numpy(crops[start : start + 50]))
    for name, parts in sums.items():
        mean, square = torch.stack(parts).mean(0)
        stored[f"{name}.mean"] = mean.float().numpy()
        stored[f"{name}.variance"] = (square - mean.square()).clamp(min=1e-6).float().numpy()
    return stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("faces", help="folder in the Face Synthetics layout")
    parser.add_argument("--conf", required=True, help="the conf/train file that the network was trained by")
    arguments = parser.parse_args()
    crops = crops_of(arguments.faces, OnnxBackend(arguments.model).metadata.crop)
    target = statistics_path(arguments.model)
    np.savez_compressed(target, **measure(arguments.model, arguments.conf, crops))
    network, _, crop = network_from_onnx(arguments.model)
    with torch.no_grad():
        points = network(torch.from_numpy(crops)).points.numpy()
    apart = np.abs(points - OnnxBackend(arguments.model).run(crops).points).max() * crop.size
    print(f"{target}: {target.stat().st_size:,} bytes; on {len(crops)} crops {apart:.1e} pixels from the ONNX file")


if __name__ == "__main__":
    main()

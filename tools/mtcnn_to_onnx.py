#!/usr/bin/env python
"""MTCNN's three networks, as facenet-pytorch 2.6.0 carries them (MIT), → the ONNX files of pipelines/faces/mtcnn.py.

Done once; kept so that anybody can do it again and see where the files come from. It needs torch, and the weights:

    pip install --no-deps facenet-pytorch==2.6.0
    python tools/mtcnn_to_onnx.py

Each file takes mean pixels, float32 (N, H, W, 3) RGB in 0 to 255, and normalises them itself.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent.parent / "pipelines" / "faces" / "mtcnn_weights"
OPSET = 17


class FromPixels(nn.Module):
    """A network of facenet-pytorch's behind what it expects: (p - 127.5) / 128, channels first; scores last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        *regressed, scores = self.network((pixels.permute(0, 3, 1, 2) - 127.5) * 0.0078125)
        return (scores[:, 1], *regressed)


def main() -> None:
    for name in ("torchvision", "torchvision.transforms", "torchvision.ops", "torchvision.ops.boxes"):
        sys.modules.setdefault(name, MagicMock())  # imported and not used by the networks
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    FOLDER.mkdir(exist_ok=True)
    for kind, side, outputs in ((PNet, 40, "score box"), (RNet, 24, "score box"), (ONet, 48, "score box points")):
        path = FOLDER / f"{kind.__name__.lower()}.onnx"
        axes = {0: "faces", 1: "height", 2: "width"} if kind is PNet else {0: "faces"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                FromPixels(kind().eval()).eval(),
                (torch.zeros(2, side, side + 6 * (kind is PNet), 3),),
                str(path),
                input_names=["pixels"],
                output_names=outputs.split(),
                dynamic_axes={"pixels": axes, **{name: {0: "faces"} for name in outputs.split()}},
                opset_version=OPSET,
                dynamo=False,
            )
        print(f"{path}: {os.path.getsize(path):,} bytes")


if __name__ == "__main__":
    main()

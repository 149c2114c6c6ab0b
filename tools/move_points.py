#!/usr/bin/env python
"""A checkpoint that learnt ICT's own vertices → one that answers where `ict_head.py` puts the points today.

    python tools/move_points.py OLD.pt --head-file ict.npz --parts lids-and-lips --output NEW.pt

Every new point is a fixed mix of two old ones (an interpolation along jaw, nose, lid or lip), and under weak
perspective mixes of points project to mixes of their projections, so the last linear layer can be multiplied by the
mixes: no training is needed. The box's network was trained before the points were moved.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
from numpy.typing import NDArray

from fakeit.model.training import checkpoint
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.synth import ict_head

PARTS = ("jaw", "nose", "lids-and-lips")


def mixes(vertices: NDArray[np.float32], old: NDArray[np.int64], parts: Sequence[str] = PARTS) -> NDArray[np.float64]:
    """(70, 70): new points from old ones; rows add up to one."""
    points = vertices[old].astype(float)
    mix = np.eye(70)
    if "lids-and-lips" in parts:
        for point, (towards, share) in ict_head.with_mirrored(ict_head.LIDS_AND_LIPS).items():
            mix[point, point], mix[point, towards] = 1 - share, share
    if "jaw" in parts:
        _even_jaw(mix, points)
    if "nose" in parts:
        for point, towards, down in zip((28, 29, 30), (29, 30, 33), ict_head._NOSE_DOWN, strict=True):
            share = float(down / (points[point, 1] - points[towards, 1]))
            mix[point, point], mix[point, towards] = 1 - share, share
    return mix


def _even_jaw(mix: NDArray[np.float64], points: NDArray[np.float64]) -> None:
    for half in (list(range(9)), list(range(8, 17))):
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points[half], axis=0), axis=1))])
        for place, wanted in zip(half[1:-1], np.linspace(0, along[-1], 9)[1:-1], strict=True):
            mix[place] = 0
            for source, weight in enumerate(np.eye(9)):
                mix[place, half[source]] = np.interp(wanted, along, weight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--head-file", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what the checkpoint has yet to learn")
    arguments = parser.parse_args()
    pack = np.load(arguments.head_file)
    old = pack["LM"] if "LM" in pack else np.array(ict_head._LANDMARK_VERTICES)
    mix = torch.tensor(mixes(pack["V0"], old, arguments.parts), dtype=torch.float32)
    saved = checkpoint.load(arguments.checkpoint)
    for state in filter(None, (saved.weights, saved.ema)):
        for name in ("head.linear.weight", "head.linear.bias"):
            tensor = state[name]
            points = tensor[:140].reshape(70, 2, -1)
            tensor[:140] = torch.einsum("ij,jcf->icf", mix, points).reshape(tensor[:140].shape)
            sigmas = tensor[140:].reshape(70, -1)
            tensor[140:] = (mix @ sigmas).reshape(tensor[140:].shape)
    checkpoint.write(saved, arguments.output)
    print(f"{arguments.output}: {int((mix.diagonal() < 1).sum())} points moved")


if __name__ == "__main__":
    try:
        main()
    except FakeitError as error:
        raise SystemExit(f"error: {error}") from error

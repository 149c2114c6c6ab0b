#!/usr/bin/env python
"""Packs measured panoramas for shipping: linear light at 64×128 (half floats), and a picture of 256×512 (JPEG).

    python tools/pack_environments.py ../shared/data/hdri_cc0/environments.npz pipelines/synth/data/environments.npz

The light is small because skin blurs it; the picture is what stands out of focus behind a head.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

HEIGHT, WIDTH = 64, 128
BRIGHTEST = 8.0  # of the mean: what the picture keeps; the light keeps all
QUALITY = 88
LOW_SUN = np.array([1.0, 0.82, 0.62], np.float32)


def whole_suns(linear: np.ndarray) -> np.ndarray:
    """Three panoramas hold their sun in one channel alone: it gets the colour of a low sun, and the same power."""
    broken = (linear.max(axis=2) > 50) & (linear.min(axis=2) < 0.2 * linear.max(axis=2))
    mended = cv2.dilate(broken.astype(np.uint8), np.ones((7, 7))) > 0
    linear[mended] = np.maximum(linear[mended].max(axis=1), 4)[:, None] * LOW_SUN
    return linear


def main(source: str, target: str) -> None:
    names, light, pictures = [], [], []
    with np.load(source) as panoramas:
        for name in panoramas.files:
            linear = np.nan_to_num(panoramas[name].astype(np.float32), posinf=6e4)
            mean = float(np.minimum(linear, np.percentile(linear, 99.5)).mean())
            linear = whole_suns(np.clip(linear / mean, 0, 6e4))
            names.append(name)
            light.append(cv2.resize(linear, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float16))
            shown = np.rint(np.clip(linear / BRIGHTEST, 0, 1) ** (1 / 2.4) * 255).astype(np.uint8)
            coded = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            pictures.append(coded.reshape(-1))
    ends = np.cumsum([len(coded) for coded in pictures])
    np.savez_compressed(
        target, names=np.array(names), light=np.stack(light), pictures=np.concatenate(pictures), ends=ends
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])

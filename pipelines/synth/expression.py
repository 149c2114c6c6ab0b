"""What a face does: expression strengths by their ARKit names, and where the eyes look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import ExpressionConfig
from fakeit.pipelines.synth.people import ORIGINS

# name → (probability, largest strength); drawn for the two sides together, with a little asymmetry
_PAIRED = {
    "mouthStretch": (0.15, 0.8),
    "mouthDimple": (0.15, 0.8),
    "mouthPress": (0.12, 0.8),
    "mouthUpperUp": (0.25, 0.9),
    "mouthLowerDown": (0.25, 0.9),
    "noseSneer": (0.12, 0.7),
    "cheekPuff": (0.08, 0.7),
    "browDown": (0.3, 0.9),
    "browInnerUp": (0.3, 0.9),
    "browOuterUp": (0.3, 0.9),
    "eyeWide": (0.15, 0.8),
    "eyeSquint": (0.3, 0.9),
}
_SINGLE = {
    "mouthPucker": (0.12, 0.9),
    "mouthFunnel": (0.12, 0.8),
    "mouthRollLower": (0.1, 0.7),
    "mouthRollUpper": (0.1, 0.7),
    "mouthLeft": (0.08, 0.5),
    "mouthRight": (0.08, 0.5),
    "jawLeft": (0.08, 0.5),
    "jawRight": (0.08, 0.5),
    "jawForward": (0.08, 0.6),
    "mouthShrugLower": (0.1, 0.6),
    "mouthShrugUpper": (0.1, 0.6),
}
# MakeHuman's own units (their three origins are in the head), drawn after all else: other heads do not have them
_UNITS = (
    "eyebrows-left-down", "eyebrows-left-extern-up", "eyebrows-left-inner-up", "eyebrows-left-up",
    "eyebrows-right-down", "eyebrows-right-extern-up", "eyebrows-right-inner-up", "eyebrows-right-up", "eye-left-slit",
    "eye-right-slit", "eye-left-opened-up", "eye-right-opened-up", "eye-left-closure", "eye-right-closure",
    "mouth-compression", "mouth-corner-puller", "mouth-depression-retraction", "mouth-depression", "mouth-elevation",
    "mouth-eversion", "mouth-open", "mouth-parling", "mouth-part-later", "mouth-protusion", "mouth-pursing",
    "mouth-retraction", "mouth-upward-retraction", "neck-platysma", "nose-compression", "nose-depression",
    "nose-left-dilatation", "nose-left-elevation", "nose-right-dilatation", "nose-right-elevation",
)  # fmt: skip
_UPPER = {"browDown", "browInnerUp", "browOuterUp", "eyeWide", "eyeSquint"}


def draw_expression(config: ExpressionConfig, random: np.random.Generator) -> dict[str, float]:
    """Expression name → strength in [0, 1.05]."""
    strength: dict[str, float] = {}

    def both(name: str, value: float, asymmetry: float = 0.25) -> None:
        for side in ("_L", "_R"):
            strength[name + side] = strength.get(name + side, 0.0) + value * (1 + random.normal(0, asymmetry))

    still = random.random() < config.neutral
    if not still:
        if random.random() < config.smile:
            smile = random.uniform(0.1, 1)
            both("mouthSmile", smile, 0.15)
            both("cheekSquint", random.uniform(0, 0.7))
            if random.random() < smile:  # a broad one draws the lips apart and shows teeth
                both("mouthStretch", random.uniform(0, 1.2))
                both("mouthUpperUp", random.uniform(0, 0.8))
                both("mouthLowerDown", random.uniform(0, 0.8))
        elif random.random() < 0.3:
            both("mouthFrown", random.uniform(0.1, 0.9))
        if random.random() < 0.5:
            strength["jawOpen"] = abs(random.normal(0, config.jaw_open_sd))
        for name, (probability, most) in _SINGLE.items():
            if random.random() < probability:
                strength[name] = random.uniform(0, most)
    for name, (probability, most) in _PAIRED.items():
        if (name in _UPPER or not still) and random.random() < probability:
            both(name, random.uniform(0, most))
    shut = random.random() < config.blink
    lids = 0.95 if shut else float(np.clip(random.normal(0.12, 0.15), 0, 0.7))
    strength["eyeBlink_L"] = strength["eyeBlink_R"] = lids
    for unit in random.choice(len(_UNITS), int(random.integers(0, 1 if still else 4)), replace=False):
        strength[_UNITS[unit]] = random.uniform(0, config.units)
    return {name: float(np.clip(value, 0, 1.05)) for name, value in strength.items()}


def by_origin(strength: dict[str, float], origins: NDArray[np.float64]) -> dict[str, float]:
    """MakeHuman's units → their shapes for each origin (`unit@origin`), by somebody's shares (3,)."""
    units = set(_UNITS)
    spread = {name: value for name, value in strength.items() if name not in units}
    for name in units & strength.keys():
        spread |= {
            f"{name}@{origin}": strength[name] * float(share) for origin, share in zip(ORIGINS, origins, strict=True)
        }
    return dict(sorted(spread.items()))


def draw_gaze(config: ExpressionConfig, random: np.random.Generator) -> NDArray[np.float32]:
    """(3,) unit vector in the head's frame that both eyes look along."""
    sideways, up = np.deg2rad(random.normal(0, config.gaze_sd))
    return np.array([np.sin(sideways) * np.cos(up), np.sin(up), np.cos(sideways) * np.cos(up)], np.float32)

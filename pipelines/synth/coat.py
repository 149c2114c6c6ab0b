"""The look of one face: colours of skin, lips, brows, eyes and cloth, and how much there is of what; linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import ClothesConfig, SynthesisConfig
from fakeit.pipelines.synth.hair import Hair

Floats = NDArray[np.float32]

# Skin from light to dark, ×255 before the power of 2.2; evenly spread over the tones of all people.
_TONES = np.array([[246, 216, 200], [234, 192, 168], [212, 166, 137], [176, 127, 99], [133, 93, 72], [92, 65, 54]])
_IRISES = np.array([[0.05, 0.025, 0.012], [0.12, 0.06, 0.03], [0.16, 0.2, 0.28], [0.12, 0.2, 0.12], [0.2, 0.22, 0.24]])
_LIGHT_EYES = np.array(
    [0.3, 0.25, 0.21, 0.13, 0.11]
)  # shares of the irises with light skin; with dark skin they are brown
_DARK_EYES = np.array([0.85, 0.12, 0.01, 0.01, 0.01])

# Rows of `Coat.colours` and places in `Coat.amounts`, as `shade` reads them.
SKIN, LIP, BROW, BEARD, HAIR, SOCKET, IRIS, SCLERA, TEETH, GUMS, CLOTH, STRIPE, CHEST = range(13)
GRAIN, BLOTCH, PATCH, BLUSH, LIPA, SOCKETA, BROWA, OIL, WET, IRISR, PUPILR, WRINKLE = range(12)
COLLAR, DIP, STRIPES = range(12, 15)


@dataclass(frozen=True)
class Coat:
    """The look of one face: `colours` (13, 3) linear RGB, `amounts` (15,), `offset` (2,) into the noise tiles, and the
    `gaze` (3,) that the irises follow, head frame."""

    colours: Floats
    amounts: Floats
    offset: NDArray[np.int64]
    gaze: Floats


def draw_tone(random: np.random.Generator) -> float:
    """How dark skin is, 0 to 1."""
    return float(random.random())


def draw_coat(
    config: SynthesisConfig,
    tone: float,
    hair: Hair,
    gaze: Floats,
    random: np.random.Generator,
    clothes: np.random.Generator,
) -> Coat:
    """Skin, lips, brows, eyes (all from `random`) and what is worn about the shoulders (from `clothes`)."""
    place = tone * (len(_TONES) - 1)
    base = min(int(place), len(_TONES) - 2)
    skin = (_TONES[base] + (place - base) * (_TONES[base + 1] - _TONES[base])) / 255
    skin = skin**2.2 * np.exp(random.normal(0, 0.08) + random.normal(0, 0.035, 3))
    painted = random.random() < config.skin.makeup
    lip = skin * [random.uniform(0.75, 1.0), random.uniform(0.4, 0.7), random.uniform(0.45, 0.75)]
    if painted and random.random() < 0.7:
        stick = np.array([random.uniform(0.25, 0.6), random.uniform(0.02, 0.1), random.uniform(0.03, 0.15)])
        lip = stick * (0.3 + 0.7 * min(1.0, float(skin.mean()) / 0.45))
    socket = skin * random.uniform(0.3, 0.8)
    if painted:
        socket = socket * np.exp(random.normal(0, 0.3, 3))
    iris = _IRISES[random.choice(5, p=_LIGHT_EYES + tone * (_DARK_EYES - _LIGHT_EYES))] * np.exp(random.normal(0, 0.2))
    sclera = np.array([0.56, 0.51, 0.48]) * random.uniform(0.7, 1.15)
    teeth, gums = np.array([0.68, 0.63, 0.53]) * random.uniform(0.55, 0.95), np.array([0.36, 0.11, 0.11])
    texture = random.uniform(*config.skin.texture)
    radius = random.uniform(0.42, 0.5)
    amounts = [
        0.05 * texture, 0.06 * texture, 0.07, random.uniform(0, 1), random.uniform(0.5, 1), 0.6,
        random.uniform(0.5, 1.05), random.uniform(0.35, 1.4), random.uniform(0.1, 0.6), radius,
        radius * random.uniform(0.28, 0.6), max(0.0, random.normal(0.02, 0.05)),
        *_draw_clothes(config.clothes, clothes),
    ]  # fmt: skip
    cloth = _draw_cloth(clothes)
    brow = hair.brow
    colours = [
        skin,
        lip,
        brow,
        hair.beard,
        hair.colour,
        socket,
        iris,
        sclera,
        teeth,
        gums * random.uniform(0.4, 1.2),
        *cloth,
        skin,
    ]
    return Coat(np.array(colours, np.float32), np.array(amounts, np.float32), random.integers(0, 512, 2), gaze)


def _draw_cloth(random: np.random.Generator) -> Floats:
    """(2, 3): what people wear is mostly black, white, grey or blue, seldom as bright as paint."""
    light = random.random((2, 1)) ** 1.6 * 0.75 + 0.012
    hue = random.random((2, 3))
    hue /= hue.mean(axis=1, keepdims=True)
    much = random.random((2, 1)) ** 1.5
    return np.asarray(np.clip(light * (1 - much + much * hue), 0.005, 0.85), np.float32)


def _draw_clothes(config: ClothesConfig, random: np.random.Generator) -> tuple[float, float, float]:
    """How high the collar lies (cm below the eyes; some shoulders are bare), how far it dips in front, and stripes a cm
    (0: none)."""
    collar = -40.0 if random.random() < config.bare else random.uniform(-14.5, -11.0)
    dip = random.uniform(0, 4.5) if random.random() < config.neckline else 0.3
    return collar, dip, random.uniform(0.4, 3) if random.random() < config.stripes else 0.0

"""What may be said of the distributions faces are drawn from: numbers that a face cannot be drawn from are refused."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest

from fakeit.pipelines.config import load
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.synth.config import SynthesisConfig
from fakeit.pipelines.synth.face import render

CONF = "conf/synthesize/default.toml"
DEFAULT = load(CONF, SynthesisConfig)
NUMBERS = [
    (f"{section.name}.{field.name}", getattr(getattr(DEFAULT, section.name), field.name))
    for section in fields(DEFAULT)
    for field in fields(getattr(DEFAULT, section.name))
    if isinstance(getattr(getattr(DEFAULT, section.name), field.name), float | tuple)
]


def _said(value: float | tuple[float, ...], bad: str) -> str:
    """A value of the same form, its first number `bad`."""
    rest = [str(number) for number in value[1:]] if isinstance(value, tuple) else []
    return f"[{', '.join([bad, *rest])}]" if rest else bad


@pytest.mark.parametrize("bad", ["nan", "inf", "-0.5"])
@pytest.mark.parametrize(("key", "value"), NUMBERS, ids=[key for key, _ in NUMBERS])
def test_no_number_is_taken_that_a_face_cannot_be_drawn_from(
    key: str, value: float | tuple[float, ...], bad: str
) -> None:
    """nan made black pictures and points nobody drew, without a word; others ended in numpy's own errors."""
    with pytest.raises(FakeitError, match=f"{CONF}: .*{key.split('.')[0]}.*{key.split('.')[1]}"):
        load(CONF, SynthesisConfig, [f"{key}={_said(value, bad)}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "camera.frame=[44.0, 31.0]",
            "camera.frame is [44.0, 31.0]; expected two numbers, at least 1, the smaller first",
        ),
        ("camera.crop=[0.5, 2.0]", "camera.crop is [0.5, 2.0]; expected two numbers, 0.01 to 1, the smaller first"),
        ("camera.frame=[0, 0]", "at least 1, the smaller first"),
        ("light.lights=[0, 0]", "light.lights is [0, 0]; expected two numbers, at least 1, the smaller first"),
        ("light.lights=[3, 1]", "the smaller first"),
        ("background.shapes=[5, 5]", "from the first number, at least 0, to below the second"),
        (
            "effects.noise=[6.0, 0.0]",
            "effects.noise is [6.0, 0.0]; expected two numbers, at least 0, the smaller first",
        ),
        ("head.brow_sd=-1", "head.brow_sd is -1.0; expected a finite number of at least 0"),
        ("head.brow_ds=1", "unknown key 'head.brow_ds'; did you mean 'brow_sd'?"),
    ],
)
def test_what_would_be_right_is_said(override: str, message: str) -> None:
    with pytest.raises(FakeitError, match=re.escape(message)):
        load(CONF, SynthesisConfig, [override])


def test_the_limits_themselves_are_drawn() -> None:
    still = [f"{key}={_said(value, '0.0') if 'sd' in key else value}" for key, value in NUMBERS if "sd" in key]
    least = ["light.lights=[1, 1]", "background.shapes=[0, 1]", "skin.texture=[0, 0]", "effects.blur=[0, 0]"]
    face = render(0, 1, load(CONF, SynthesisConfig, [*still, *least, "camera.crop=[1, 1]", "camera.frame=[1, 1]"]), 32)
    assert face.image.shape == (32, 32, 3) and np.isfinite(face.landmarks).all()

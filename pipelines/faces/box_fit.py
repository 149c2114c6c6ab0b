"""From a detector's box to the box that training used.

Training crops around the tight box of the true points. Every detector has its own idea of a face (Haar: square, from
the brows down; MTCNN: from the hairline to the chin). The difference is nearly the same for every face, so it is three
numbers for a detector and a scheme, fitted on faces with true points and kept as data in `box_fits.json` beside this
file (`python -m fakeit.jobs.evaluate --fit-boxes …` writes them).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from fakeit.pipelines.faces.box import Box

DATA = Path(__file__).with_name("box_fits.json")
# Points of the whole face, jaw included, span nearly one box whatever their number.
_WHOLE_FACE = {"face70": "ibug68", "wflw98": "ibug68"}


@dataclass(frozen=True)
class BoxFit:
    """Shifts as shares of the detector box's longer side, down and right positive; `scale` of that side; `aspect` is
    the width over the height of the box that comes out."""

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    aspect: float = 1.0

    def apply(self, box: Box) -> Box:
        side = box.side * self.scale
        x, y = box.centre
        width, height = side * min(1.0, self.aspect), side * min(1.0, 1 / self.aspect)
        x, y = x + self.dx * box.side, y + self.dy * box.side
        return Box(x - width / 2, y - height / 2, width, height)


def fit_boxes(found: Sequence[Box], true: Sequence[Box]) -> BoxFit:
    """The medians over pairs of a detector's box and the true points' tight box (medians: a wrong detection or two
    must not pull the rest)."""
    rows = []
    for detected, truth in zip(found, true, strict=True):
        (x, y), (u, v) = detected.centre, truth.centre
        side = detected.side
        rows.append(((u - x) / side, (v - y) / side, truth.side / side, truth.width / max(truth.height, 1e-6)))
    dx, dy, scale, aspect = np.median(np.array(rows), axis=0)
    return BoxFit(*(round(float(value), 4) for value in (dx, dy, scale, aspect)))


@cache
def _stored() -> dict[str, dict[str, dict[str, float]]]:
    # executors have this code as a zip
    data = DATA if DATA.is_file() else resources.files(__package__ or "").joinpath(DATA.name)
    return dict(json.loads(data.read_text())) if data.is_file() else {}


def box_fit(detector: str, scheme: str) -> BoxFit:
    """The stored map of a detector for a scheme; the identity where none was fitted."""
    fits = _stored().get(detector, {})
    values = fits.get(scheme) or fits.get(_WHOLE_FACE.get(scheme, scheme))
    return BoxFit(**values) if values else BoxFit()


def store(detector: str, scheme: str, fit: BoxFit) -> None:
    """Writes a fitted map into the data file."""
    stored = {name: dict(fits) for name, fits in _stored().items()}
    stored.setdefault(detector, {})[scheme] = asdict(fit)
    DATA.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    _stored.cache_clear()

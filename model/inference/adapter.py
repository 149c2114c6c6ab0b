"""The label adapter: from the points a network learnt to the points a benchmark labels.

Synthetic points are projections of points of a 3D face; people label what they see, a cheek's contour for the jaw. The
difference is systematic, so a small ridge regression, fitted on a few hundred labelled faces, removes most of it
(Wood et al. 2021, https://arxiv.org/abs/2109.15102, use the same idea). It looks at the predicted points, turned, moved
and scaled onto a mean shape, at how sure the network is of each and at the dense points where it gives them, and says
how far each point is to be moved there.
It is stored beside the model and named when wanted; results are given with and without. It is never fitted on what it
is scored on. `fakeit.model.inference.adapter_fit` fits it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference import jaw_contour, wflw98
from fakeit.model.inference.backends import AS_TOLD, SigmaFit, confidence
from fakeit.pipelines.config import nearest, to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import is_picture
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.landmarks import convert, scheme
from fakeit.pipelines.sources import Sample

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Adapter:
    """A fitted map of points.

    Attributes:
        name: how it is asked for.
        source, target: schemes of the points that go in and come out.
        mean: (K, 2) mean shape of `source`, centred, of unit root-mean-square distance from its centre.
        weights: (F, 2K') from features (see `features`) to moves.
        usual: (K,) the mean log σ where log σ is among the features, else empty.
        dense: (400, 2) the mean dense points, in the frame of `mean`, where they are among the features, else empty.
        shift: source pixels to the right by which the labels of upright pictures lie off, whatever the face's size.
        sigma_fit: what makes the confidence in adapted points true.
        strength: of the ridge penalty, chosen by cross-validation.
        fitted_on: what it was fitted on, for reports.
        faces: how many.
        samples: hashed names of those faces, so that scoring can tell when it would score what was fitted.
    """

    name: str
    source: str
    target: str
    mean: Array
    weights: Array
    usual: Array = field(default_factory=lambda: np.zeros(0))
    dense: Array = field(default_factory=lambda: np.zeros((0, 2)))
    shift: float = 0.0
    sigma_fit: SigmaFit = AS_TOLD
    strength: float = 0.0
    fitted_on: str = ""
    faces: int = 0
    samples: tuple[str, ...] = ()

    def apply(
        self,
        points: NDArray[np.floating],
        log_sigma: NDArray[np.floating] | None = None,
        dense: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Points (K, 2) of `source`, source pixels, the network's log σ of them (K,) and its dense points (400, 2),
        source pixels → (K', 2) of `target`. What is not known counts as usual."""
        if not np.isfinite(points).all():
            return base_points(points, self.source, self.target).astype(np.float32)
        turn, centre = alignment(points, self.mean)
        aligned = (points - centre) @ turn
        spread = None if dense is None else (dense - centre) @ turn
        seen = features(aligned, self.mean, log_sigma, self.usual, spread, self.dense)
        moves = (seen @ self.weights).reshape(-1, 2)
        moved = base_points(aligned, self.source, self.target) + moves
        return (moved @ np.linalg.inv(turn) + centre + (self.shift, 0)).astype(np.float32)

    def confidence(
        self, trust: NDArray[np.float32], log_sigma: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """(K,) of the source's points → (K',) of the target's, true of the target's where log σ is known."""
        if log_sigma is not None:
            trust = confidence(np.asarray(log_sigma, np.float32), self.sigma_fit)
        return self.carried(trust)

    def carried(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(K,) a number for each of the source's points → (K',) for the target's; their mean where no points match."""
        try:
            return convert(values[:, None], self.source, self.target)[:, 0].astype(np.float32)
        except FakeitError:
            return np.full(scheme(self.target).count, values.mean(), np.float32)

    def save(self, path: str | Path) -> None:
        """Writes the adapter as a `.npz` of plain float32 arrays and one JSON text, whole or not at all.

        Raises:
            OSError: the place cannot be written.
        """
        arrays = ("mean", "weights", "usual", "dense")
        about = {f.name: to_dict(getattr(self, f.name)) for f in fields(self) if f.name not in arrays}
        with write_atomically(str(path)) as file:
            np.savez_compressed(
                file,
                about=json.dumps(about),
                **{name: getattr(self, name).astype(np.float32) for name in arrays},
            )


class ByGeometry(Adapter):
    """A built-in one: from `face70` by the geometry of the face alone, whichever model; it needs no file. "contour" is
    `ibug68`, its jaw the outline that is seen, "wflw98" WFLW's points."""

    def apply(
        self,
        points: NDArray[np.floating],
        log_sigma: NDArray[np.floating] | None = None,
        dense: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """As `Adapter.apply`; without dense points the jaw stays where it is."""
        made = wflw98.wflw98_points if self.name == wflw98.NAME else jaw_contour.contour_points
        return made(points, dense)

    def confidence(
        self, trust: NDArray[np.float32], log_sigma: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """The network's own."""
        return self.carried(trust)

    def carried(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `Adapter.carried`; for WFLW's the mean of the points that each is made of."""
        return wflw98.carried(values) if self.name == wflw98.NAME else super().carried(values)


JAW_CONTOUR, _WFLW98 = (
    ByGeometry(made.NAME, made.SOURCE, made.TARGET, np.zeros((0, 2)), np.zeros((0, 0)), fitted_on="nothing")
    for made in (jaw_contour, wflw98)
)
BUILT_IN = {each.name: each for each in (JAW_CONTOUR, _WFLW98)}


def alignment(points: NDArray[np.floating], mean: Array) -> tuple[Array, Array]:
    """The similarity that lays points (K, 2) onto `mean`: a (2, 2) matrix for row vectors and the centre to subtract
    before it (Umeyama 1991, in two dimensions, without mirroring)."""
    centre = points.mean(axis=0, dtype=np.float64)
    offset = points - centre
    spread = max(float((offset**2).sum()), 1e-12)
    a = float((offset * mean).sum()) / spread
    b = float((offset[:, 0] * mean[:, 1] - offset[:, 1] * mean[:, 0]).sum()) / spread
    return np.array([[a, b], [-b, a]]), centre


def base_points(points: NDArray[np.floating], source: str, target: str) -> NDArray[np.floating]:
    """What the adapter starts from: the plain mapping of schemes, or zeros (the aligned centre) where there is none."""
    try:
        return convert(points, source, target)
    except FakeitError:
        return np.zeros((scheme(target).count, 2))


def features(
    aligned: NDArray[np.floating],
    mean: Array,
    log_sigma: NDArray[np.floating] | None,
    usual: NDArray[np.floating],
    spread: NDArray[np.floating] | None,
    dense: Array,
) -> Array:
    """What the ridge sees of a face: (2K + 1,) the aligned points' offsets from `mean` and a constant 1; between them,
    where `usual` (K,) is not empty, log σ less `usual`, and, where `dense` (400, 2) is not, the offsets of the aligned
    dense points `spread` from it. Zeros for what is not known."""
    unsure = np.zeros(len(usual)) if log_sigma is None or not len(usual) else log_sigma - usual
    apart = np.zeros(dense.shape) if spread is None or not len(dense) else spread - dense
    return np.concatenate([(aligned - mean).ravel(), unsure, apart.ravel(), [1.0]])


def load_adapter(path: str | Path) -> Adapter:
    """Raises FakeitError naming the file and what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            arrays = {name: stored[name].astype(np.float64) for name in stored.files if name != "about"}
            about |= {"samples": tuple(about["samples"]), "sigma_fit": SigmaFit(**about.get("sigma_fit", {}))}
            return Adapter(**arrays, **about)
    except FileNotFoundError as error:
        raise FakeitError(f"adapter {path}: no such file") from error
    except Exception as error:  # numpy, zipfile and zlib raise whatever damaged bytes lead them to
        raise FakeitError(f"adapter {path}: not an adapter file ({error})") from error


def identity(sample: Sample) -> str:
    """What a sample is called wherever its dataset lies: its picture's file name; of a row of a table or a frame of a
    video, which share a file, the end of its id too."""
    name = os.path.basename(sample.image)
    return name if is_picture(name) else f"{name}#{'|'.join(sample.id.split('/')[-2:])}"


def sample_hash(name: str) -> str:
    """8 hex digits of a sample's file name."""
    return hashlib.sha256(os.path.basename(name).encode()).hexdigest()[:8]


def adapter_path(model: str | Path, name: str) -> Path:
    """Where the adapter called `name` of a model is stored."""
    model = Path(model)
    return model.with_name(f"{model.stem}.adapter-{name}.npz")


def stored_names(model: str | Path) -> Sequence[str]:
    """The adapters beside a model."""
    model = Path(model)
    prefix = f"{model.stem}.adapter-"
    return sorted(p.name[len(prefix) : -len(".npz")] for p in model.parent.glob(f"{prefix}*.npz"))


def beside(asked: str | Path, model: Path) -> Adapter:
    """The adapter asked for: a file, a built-in one ("contour", "wflw98"), or the name of one beside the model."""
    if asked in BUILT_IN:
        return BUILT_IN[str(asked)]
    if str(asked).endswith(".npz"):
        return load_adapter(asked)
    known = [*stored_names(model), *BUILT_IN]
    there = f"beside this model: {', '.join(known)}"
    if Path(asked).name != str(asked):
        raise FakeitError(f"adapter '{asked}': neither a name nor the path of an .npz ({there})")
    path = adapter_path(model, str(asked))
    if not path.is_file():
        raise FakeitError(f"adapter '{asked}': {path} is missing ({there}){nearest(str(asked), known)}")
    return load_adapter(path)

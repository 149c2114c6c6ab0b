"""What `realism.py` measures of one set of faces, and how far two sets lie apart: points and pixels in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from fakeit.pipelines.synth.heads import load_head

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
LEFT, RIGHT = 36, 45  # outer eye corners
MODES = 10  # shape modes that are compared
SIDE = 128  # pixels that a face's square is brought to
RINGS = 32  # of the amplitude spectrum
MARGIN = 1.3  # side of that square over the longer side of the points' box


@dataclass(frozen=True)
class Faces:
    """One set: `points` (N, 68, 2) pixels, `pixels` (N, 4) luminance, saturation, contrast and colour's warmth,
    `parts` (N, 7) as `PARTS` says, `spectra` (N, RINGS) log amplitudes, `features` (N, F) of MTCNN's last network,
    `found` (N,) by predict."""

    points: Floats
    pixels: Floats
    parts: Floats
    spectra: Floats
    features: Floats
    found: NDArray[np.bool_]

    def part(self, index: Any) -> Faces:
        return Faces(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


PIXELS = ("luminance", "saturation", "local contrast", "warmth")
PARTS = ("eyes", "darkest tenth of eyes", "brows", "below brows", "lips", "cheeks' a", "cheeks' b")
_HAZE = 8.0  # of 255: that much light, and nothing is black
_BROW = 0.09, 0.16  # of the eyes' distance below the brows' points: where brows end, and the lids' skin below them


def square(image: NDArray[np.uint8], points: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """The face alone, (SIDE, SIDE, 3), edges repeated where the picture ends; and its points there."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = MARGIN * float((high - low).max()) / 2
    scale = SIDE / (2 * half)
    x, y = (low + high) / 2 - half
    placed = (points - [x, y]) * scale
    if scale < 0.7:  # area first, so that fine detail does not alias
        shrink = max(scale * 1.4, 0.05)
        image = np.asarray(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
        x, y, scale = x * shrink, y * shrink, scale / shrink
    move = np.array([[scale, 0, -scale * x], [0, scale, -scale * y]])
    face = cv2.warpAffine(image, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(face), placed


def pixel_figures(face: NDArray[np.uint8]) -> list[float]:
    """Mean luminance (0 to 255), mean saturation, local contrast (deviation within 15 pixels, % of white), and red over
    blue (logarithm) of the face's square."""
    light = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    colours = face.astype(np.float32)
    most, least = colours.max(axis=2), colours.min(axis=2)
    near = cv2.blur(light, (15, 15))
    local = np.sqrt(np.maximum(cv2.blur(light * light, (15, 15)) - near * near, 0)).mean() / 2.55
    warmth = np.log((colours[..., 0].mean() + 1) / (colours[..., 2].mean() + 1))
    return [float(light.mean()), float(((most - least) / (most + 1)).mean()), float(local), float(warmth)]


def part_figures(face: NDArray[np.uint8], points: Floats) -> list[float]:
    """How light parts are (logarithms, against the cheeks), and a and b of the cheeks in CIELAB (NaN of grey pictures),
    as `PARTS` names them. `points` (68, 2) lie on the face's square."""
    light = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    eyes = float(np.linalg.norm(points[RIGHT] - points[LEFT]))
    nose = points[33] - points[27]
    down = nose / (np.linalg.norm(nose) + 1e-9) * eyes

    def inside(*outlines: Floats) -> NDArray[np.bool_]:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1, shift=4)
        return mask > 0

    def below(first: float, last: float) -> NDArray[np.bool_]:
        rows = [points[at : at + 5] for at in (17, 22)]
        return inside(*(np.concatenate([row + first * down, (row + last * down)[::-1]]) for row in rows))

    def against_cheeks(part: NDArray[np.bool_], tenth: bool = False) -> float:
        if not part.any():
            return float("nan")
        value = np.percentile(light[part], 10) if tenth else light[part].mean()
        return float(np.log((value + _HAZE) / (level + _HAZE)))

    discs = [cv2.ellipse2Poly((0, 0), (100, 100), 0, 0, 360, 30) / 100 * 0.075 * eyes + 0.35 * points[jaw]
             + 0.65 * points[side] + 0.02 * down for jaw, side in ((1, 31), (15, 35))]  # fmt: skip
    cheeks = inside(*discs)
    level = float(np.median(light[cheeks])) if cheeks.any() else float("nan")
    lids = inside(points[36:42], points[42:48])
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB)[cheeks].astype(np.float64) - 128
    coloured = cheeks.any() and np.ptp(face[cheeks].mean(axis=0)) > 4
    return [
        against_cheeks(lids),
        against_cheeks(lids, tenth=True),
        against_cheeks(below(0.0, _BROW[0])),
        against_cheeks(below(*_BROW)),
        against_cheeks(inside(points[48:60]) & ~inside(points[60:68])),
        *(np.median(lab[:, 1:], axis=0) if coloured else (float("nan"), float("nan"))),
    ]


def spectrum(face: NDArray[np.uint8]) -> Floats:
    """Logarithm of the mean amplitude by spatial frequency, (RINGS,), of unit deviation."""
    light = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    window = np.hanning(SIDE)
    light = (light - light.mean()) / (light.std() + 1e-6) * window[:, None] * window[None]
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(light)))
    axis = np.arange(SIDE) - SIDE // 2
    ring = np.hypot(axis[:, None], axis[None]) * RINGS / (SIDE // 2)
    inside = ring < RINGS
    place = ring[inside].astype(int)
    return np.log(np.bincount(place, amplitude[inside], RINGS) / np.bincount(place, minlength=RINGS))


def features(faces: list[NDArray[np.uint8]]) -> Floats:
    """(N, 256) what the last layer but one of MTCNN's third network makes of face squares."""
    network = _third_network()
    out = []
    for first in range(0, len(faces), 64):
        small = [cv2.resize(f, (48, 48), interpolation=cv2.INTER_AREA) for f in faces[first : first + 64]]
        (layer,) = network.run(["features"], {"pixels": np.stack(small).astype(np.float32)})
        out.append(layer.reshape(len(small), -1))
    return np.concatenate(out).astype(np.float64)


@lru_cache(maxsize=1)
def _third_network() -> Any:
    """The detector's own file, asked for one tensor more: what its last PReLU gives."""
    import onnx
    import onnxruntime
    from onnx import helper

    model = onnx.load(ROOT / "pipelines/faces/mtcnn_weights/onet.onnx")
    last = [node for node in model.graph.node if node.op_type == "PRelu"][-1]
    model.graph.node.append(helper.make_node("Identity", [last.output[0]], ["features"]))
    model.graph.output.append(helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def distances(faces: Faces, real: Faces) -> dict[str, float]:
    """How far a set lies from a real one. Shape modes, pixels and parts: Wasserstein-1 in the real set's
    deviations (shape: mean over its first modes); spectrum: root mean square of the mean log
    amplitudes' difference; kernel: 1000 × MMD² with KID's kernel (Bińkowski et al. 2018) on the features."""
    both = aligned(np.concatenate([real.points, faces.points]))
    shapes, others = both[: len(real.points)].reshape(len(real.points), -1), both[len(real.points) :]
    _, vectors = modes(both[: len(real.points)])
    mean = shapes.mean(axis=0)
    ours, theirs = (others.reshape(len(others), -1) - mean) @ vectors[:MODES].T, (shapes - mean) @ vectors[:MODES].T
    apart = {"shape modes": np.mean([_wasserstein(ours[:, m], theirs[:, m]) for m in range(MODES)])}
    for names, one, other in ((PIXELS, faces.pixels, real.pixels), (PARTS, faces.parts, real.parts)):
        apart |= {name: _wasserstein(one[:, column], other[:, column]) for column, name in enumerate(names)}
    apart["spectrum"] = np.sqrt(((faces.spectra.mean(axis=0) - real.spectra.mean(axis=0)) ** 2).mean())
    apart["kernel"] = 1000 * kernel_distance(faces.features, real.features)
    return {name: round(float(value), 3) for name, value in apart.items()}


def _wasserstein(values: Floats, reference: Floats) -> float:
    values, reference = values[np.isfinite(values)], reference[np.isfinite(reference)]
    return float(wasserstein_distance(values, reference) / (reference.std() + 1e-9))


def kernel_distance(a: Floats, b: Floats) -> float:
    """Unbiased MMD² of the kernel (x·y / F + 1)³, features brought to the second set's mean and overall deviation."""
    scale = b.std() + 1e-9
    a, b = (a - b.mean(axis=0)) / scale, (b - b.mean(axis=0)) / scale

    def kernel(x: Floats, y: Floats) -> Floats:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    aa, bb, ab = kernel(a, a), kernel(b, b), kernel(a, b)
    within_a = (aa.sum() - np.trace(aa)) / (len(a) * (len(a) - 1))
    within_b = (bb.sum() - np.trace(bb)) / (len(b) * (len(b) - 1))
    return float(within_a + within_b - 2 * ab.mean())


def poses(points: Floats) -> Floats:
    """(N, 3) yaw, pitch, roll in degrees: the rotation of the mean head that fits best under scaled orthography."""
    head = load_head("builtin")
    model = np.asarray(head.neutral[head.landmarks[:68]], float)
    model = model - model.mean(axis=0)
    inverse = np.linalg.pinv(model)
    angles = []
    for cloud in points:
        flat = (cloud - cloud.mean(axis=0)) * [1, -1]
        u, _, vt = np.linalg.svd((inverse @ flat).T, full_matrices=False)
        rows = u @ vt
        turn = np.vstack([rows, np.cross(rows[0], rows[1])])
        angles.append([np.arctan2(-turn[2, 0], turn[2, 2]), np.arctan2(turn[2, 1], np.hypot(turn[2, 0], turn[2, 2])),
                       np.arctan2(turn[1, 0], turn[0, 0])])  # fmt: skip
    return np.rad2deg(np.array(angles))


def aligned(points: Floats) -> Floats:
    """(N, 68, 2) without place, size and turn in the picture: generalised Procrustes (Gower 1975), unit size."""
    shapes = points - points.mean(axis=1, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=(1, 2), keepdims=True)
    mean = shapes[0]
    for _ in range(10):
        u, _, vt = np.linalg.svd(np.einsum("nki,kj->nij", shapes, mean))
        vt[np.linalg.det(u @ vt) < 0, 1] *= -1
        shapes = shapes @ (u @ vt)
        mean = shapes.mean(axis=0)
        mean /= np.linalg.norm(mean)
        level = np.arctan2(*(mean[RIGHT] - mean[LEFT])[::-1])
        mean = mean @ np.array([[np.cos(level), -np.sin(level)], [np.sin(level), np.cos(level)]])
    u, _, vt = np.linalg.svd(np.einsum("nki,kj->nij", shapes, mean))
    return np.asarray(shapes @ (u @ vt))


def modes(shapes: Floats) -> tuple[Floats, Floats]:
    """Variances of the principal modes, and the modes (M, 136)."""
    flat = shapes.reshape(len(shapes), -1)
    _, singular, vectors = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    return singular**2 / (len(flat) - 1), vectors

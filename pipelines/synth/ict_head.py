"""The ICT Face Model Light (USC ICT, MIT licence): its OBJ checkout → one packed .npz → a `Head`.

https://github.com/USC-ICT/ICT-FaceKit. The checkout holds one OBJ of the neutral mesh, one for each identity mode and
each expression, all of one topology, and `vertex_indices.json` with the 68 landmark vertices.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.synth.head import Head, Material
from fakeit.pipelines.synth.places import places
from fakeit.pipelines.synth.shoulders import with_shoulders

MODES = 60  # of 100: the rest move a vertex by less than 0.1 mm (measured: 0.07 mm and less)
# Seen from the viewer, the subject's right eye is at the left (x < 0).
# The lash sheets stay out: without a transparent texture they are a dark patch below each eye, and a network that
# learnt from them put every eye half a centimetre too high on real faces (docs/LOG.md). `paint` draws a line instead.
_MATERIALS = {
    "M_Face": Material.FACE,
    "M_BackHead": Material.SCALP,
    "M_Teeth": Material.TEETH,
    "M_GumsTongue": Material.GUMS,
    "M_ScleraRight": Material.LEFT_EYE,
    "M_ScleraLeft": Material.RIGHT_EYE,
}
# The model's brow vertices lie on the upper edge of the bone, above where annotators put brow points: over 110 upright
# faces of 300-W's AFW the points are this much lower (cm, points 17 to 21), on a face whose eye corners are 9 cm apart.
_BROW_DOWN = np.array([0.54, 0.46, 0.48, 0.56, 0.77], np.float32)
# Likewise the ridge and the tip of the nose (28, 29, 30): a network that learnt the model's own vertices marked them so
# much above what AFW and Face Synthetics label.
_NOSE_DOWN = np.array([0.11, 0.24, 0.33], np.float32)
# Points of lids and lips that annotators set nearer to the middle than the model's vertices: point → the neighbour that
# it moves to, and the share of the way, where a network that had learnt the vertices fitted AFW best. Their mirror
# images move likewise.
LIDS_AND_LIPS = {37: (38, 0.3), 41: (40, 0.25), 55: (56, 0.2), 56: (57, 0.3), 61: (62, 0.35), 65: (66, 0.4)}


def import_ict(checkout: str, output: str) -> int:
    """Packs an ICT-FaceKit checkout (its `FaceXModel` folder) into one .npz. Returns the number of shapes read.

    Raises:
        FakeitError: naming the file that is missing or malformed.
    """
    folder = Path(checkout)
    folder = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    indices = folder / "vertex_indices.json"
    neutral = folder / "generic_neutral_mesh.obj"
    for needed in (indices, neutral):
        if not needed.is_file():
            raise FakeitError(f"{needed}: no such file; expected the FaceXModel folder of an ICT-FaceKit checkout")
    vertices, triangles, materials = read_obj(neutral)
    shapes = {p.stem: read_obj(p)[0] for p in sorted(folder.glob("*.obj")) if p != neutral}
    for name, shape in shapes.items():
        if shape.shape != vertices.shape:
            raise FakeitError(f"{folder / name}.obj: {len(shape)} vertices, the neutral mesh has {len(vertices)}")
    identity = [name for name in shapes if name.startswith("identity")]
    expression = [name for name in shapes if not name.startswith("identity")]
    pack = {
        "V0": vertices,
        "F": triangles,
        "M": materials,
        "ID": _differences(shapes, identity, vertices),
        "EX": _differences(shapes, expression, vertices),
        "EXN": np.array(expression),
        "LM": np.array(json.loads(indices.read_text())["idx_to_landmark_verts"], np.int64),
    }
    with write_atomically(output) as file:
        np.savez(file, **pack)
    return len(shapes)


def _differences(shapes: dict[str, NDArray[np.float32]], names: list[str], base: NDArray[np.float32]) -> NDArray:  # type: ignore[type-arg]
    if not names:
        return np.zeros((0, *base.shape), np.float16)
    return np.stack([(shapes[name] - base).astype(np.float16) for name in names])


def read_obj(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.str_]]:
    """Vertices (V, 3) float32, triangles (T, 3) int32 (quads are split) and the material name of each (T,).

    Raises:
        FakeitError: file and line of a malformed vertex or face.
    """
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    materials: list[str] = []
    material = ""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        try:
            if words and words[0] == "v":
                vertices.append([float(w) for w in words[1:4]])
            elif words and words[0] == "usemtl":
                material = words[1]
            elif words and words[0] == "f":
                corners = [int(w.split("/")[0]) - 1 for w in words[1:]]
                for second, third in zip(corners[1:], corners[2:], strict=False):
                    triangles.append((corners[0], second, third))
                    materials.append(material)
        except (ValueError, IndexError) as error:
            raise FakeitError(f"{path}:{number}: not a line of an OBJ file: {line[:60]!r}") from error
    return np.array(vertices, np.float32), np.array(triangles, np.int32), np.array(materials)


def load_ict(file: str) -> Head:
    """A packed model → Head.

    Raises:
        FakeitError: the file is missing, or lacks a field.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            pack = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise FakeitError(f"head.file {file}: cannot be read ({error}); make it with --import-ict") from error
    for key in ("V0", "F", "M", "ID", "EX", "EXN"):
        if key not in pack:
            raise FakeitError(f"head.file {file}: field '{key}' is missing; make it with --import-ict")
    vertices = pack["V0"].astype(np.float32)
    landmarks = pack["LM"] if "LM" in pack else np.array(_LANDMARK_VERTICES, np.int64)
    kept = np.isin(pack["M"], list(_MATERIALS))
    triangles = pack["F"][kept].astype(np.int32)
    material = np.array([_MATERIALS[name] for name in pack["M"][kept]], np.int32)
    face = np.unique(triangles[material == Material.FACE])
    landmarks = _place_as_people_do(landmarks, vertices, face)
    names = [str(name) for name in pack["EXN"]]
    opened = vertices + pack["EX"][names.index("jawOpen")].astype(np.float32) if "jawOpen" in names else vertices
    landmarks = _towards_the_middle(landmarks, np.stack([vertices, opened]), face)
    eyes = [_sphere(vertices[np.unique(triangles[material == m])]) for m in (Material.LEFT_EYE, Material.RIGHT_EYE)]
    dense = places()["ict"].astype(np.int64)
    identity = pack["ID"][:MODES].astype(np.float32).reshape(min(MODES, len(pack["ID"])), -1)
    head = Head(
        neutral=vertices,
        canonical=vertices,
        triangles=np.ascontiguousarray(triangles),
        material=material,
        identity=identity,
        expressions=pack["EX"].astype(np.float32).reshape(len(pack["EX"]), -1),
        expression_names=tuple(names),
        landmarks=np.concatenate([landmarks, [-1, -1]]),
        eyes=np.array(eyes, np.float32),
        painted=False,
        dense=dense if dense.max() < len(vertices) else dense[:0],  # a mesh of another topology has none
    )
    return with_shoulders(head)


def _sphere(points: NDArray[np.float32]) -> tuple[float, float, float, float]:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return float(centre[0]), float(centre[1]), float(centre[2]), float(np.ptp(points[:, 0]) / 2)


def _place_as_people_do(
    landmarks: NDArray[np.int64], vertices: NDArray[np.float32], face: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The vertices (68,) where people mark the points: brows and nose lower, the jaw evenly spaced."""
    targets = vertices[landmarks].copy()
    targets[17:27, 1] -= np.concatenate([_BROW_DOWN, _BROW_DOWN[::-1]])
    targets[28:31, 1] -= _NOSE_DOWN
    targets[:17] = evenly(targets[:17])
    moved = landmarks.copy()
    for point in (*range(1, 8), *range(9, 16), *range(17, 27), 28, 29, 30):
        distance = (vertices[face] - targets[point]) ** 2 @ np.array([1, 1, 0.3], np.float32)
        moved[point] = face[distance.argmin()]
    return moved


def _towards_the_middle(
    landmarks: NDArray[np.int64], shapes: NDArray[np.float32], face: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The vertices (68,) with `LIDS_AND_LIPS` moved, judged on shapes (S, V, 3) of which one has the mouth open: where
    it is closed, the lips' edges lie in one place."""
    moved = landmarks.copy()
    for point, (towards, share) in with_mirrored(LIDS_AND_LIPS).items():
        targets = (1 - share) * shapes[:, landmarks[point]] + share * shapes[:, landmarks[towards]]
        distance = ((shapes[:, face] - targets[:, None]) ** 2).sum(axis=(0, 2))
        moved[point] = face[distance.argmin()]
    return moved


def with_mirrored(moves: dict[int, tuple[int, float]]) -> dict[int, tuple[int, float]]:
    """Moves of points and of their mirror images."""
    flip = scheme("ibug68").flip
    return moves | {flip[point]: (flip[towards], share) for point, (towards, share) in moves.items()}


def evenly(jaw: NDArray[np.float32]) -> NDArray[np.float32]:
    """A jaw line (17, 3) with ears and chin where they are and the points between at equal distances along it."""
    placed = jaw.copy()
    for half in (np.s_[:9], np.s_[8:]):
        line = jaw[half]
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        wanted = np.linspace(0, along[-1], len(line))
        placed[half] = np.stack([np.interp(wanted, along, line[:, a]) for a in range(3)], axis=1)
    return placed


# `idx_to_landmark_verts` of ICT-FaceKit's vertex_indices.json, for packs that lack it (MIT, USC ICT).
_LANDMARK_VERTICES = [
    # fmt: off
    1225,
    1888,
    1052,
    367,
    1719,
    1722,
    2199,
    1447,
    966,
    3661,
    4390,
    3927,
    3924,
    2608,
    3272,
    4088,
    3443,
    268,
    493,
    1914,
    2044,
    1401,
    3615,
    4240,
    4114,
    2734,
    2509,
    978,
    4527,
    4942,
    4857,
    1140,
    2075,
    1147,
    4269,
    3360,
    1507,
    1542,
    1537,
    1528,
    1518,
    1511,
    3742,
    3751,
    3756,
    3721,
    3725,
    3732,
    5708,
    5695,
    2081,
    0,
    4275,
    6200,
    6213,
    6346,
    6461,
    5518,
    5957,
    5841,
    5702,
    5711,
    5533,
    6216,
    6207,
    6470,
    5517,
    5966,
    # fmt: on
]

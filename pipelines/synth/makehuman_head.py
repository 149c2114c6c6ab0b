"""MakeHuman's head as a `Head`: the pack's coarse mesh made fine, with eyeballs, teeth, tongue and lashes.

Vertices of the fine mesh are fixed sums of the coarse one's (Catmull–Clark; teeth as they are fitted), and so are the
70 points and the dense ones, which follow the mesh as vertices that no triangle uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, vstack
from scipy.sparse.csgraph import connected_components

from fakeit.pipelines.dense_points import DENSE
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.synth.arms import find_arms
from fakeit.pipelines.synth.head import Head, Material
from fakeit.pipelines.synth.makehuman_pack import CROP, SIDE, Part, moves, read_pack
from fakeit.pipelines.synth.mean_face import bend
from fakeit.pipelines.synth.people import ORIGINS, People, Person, centres, macro_weights
from fakeit.pipelines.synth.places import places
from fakeit.pipelines.synth.subdivision import catmull_clark, spread_corners

Floats = NDArray[np.float32]
_EYES_APART, _EYES_AT = 6.3, np.array([0.0, 3.6, 8.0])  # cm: where ICT's are, whose frame all heads share
_TEETH_BACK = 0.2  # cm: closed lips of some people are thinner than the teeth's assets take them for
_TOOTH = 200  # vertices: what has more is gums
_TOOTH_LARGER = 0.08
POINTS = 68 + DENSE
_MATERIALS = {
    Part.SKIN: Material.FACE, Part.BODY: Material.FACE, Part.SOCKET: Material.FACE, Part.MOUTH: Material.GUMS,
    Part.TONGUE: Material.GUMS, Part.LEFT_EYE: Material.LEFT_EYE, Part.RIGHT_EYE: Material.RIGHT_EYE,
}  # fmt: skip


def load_makehuman(file: str) -> Head:
    """A pack → Head; `file` empty: the shipped one.

    Raises:
        FakeitError: see `makehuman_pack.read_pack`.
    """
    pack = read_pack(file)
    people = _people(pack)
    refine, offset, triangles, material, uv = _fine(pack, people)
    neutral = np.asarray(refine @ people.mean + offset, np.float32)
    scale = np.float32(_scale(pack))
    expressions = moves(pack, "expression") * scale
    fine = np.stack([refine @ shape for shape in expressions]).astype(np.float32)
    lash, lash_uv = pack["lash_quads"], pack["lash_uv"]
    eyes = [_sphere(neutral[np.unique(triangles[material == m])]) for m in (Material.LEFT_EYE, Material.RIGHT_EYE)]
    return Head(
        neutral=neutral,
        canonical=neutral,
        triangles=triangles,
        material=material,
        identity=np.zeros((0, neutral.size), np.float32),
        expressions=fine.reshape(len(fine), -1),
        expression_names=tuple(str(name) for name in pack["expression_names"]),
        landmarks=np.concatenate([np.arange(68) + len(neutral) - POINTS, [-1, -1]]),
        eyes=np.array(eyes, np.float32),
        painted=False,
        people=people,
        refine=refine,
        offset=offset,
        dense=np.arange(DENSE) + len(neutral) - DENSE,
        uv=uv,
        texels=_texels(places()["makehuman_uv"]),
        file=file,
        lashes=np.concatenate([lash[:, [0, 1, 2]], lash[:, [0, 2, 3]]]).astype(np.int32),
        lash_uv=np.concatenate([lash_uv[:, [0, 1, 2]], lash_uv[:, [0, 2, 3]]]).astype(np.float32),
    )


def _scale(pack: dict[str, Any]) -> float:
    """cm of the drawn frame for a decimetre of the mean adult."""
    eyes = [pack["base"][np.unique(pack["quads"][pack["part"] == part])] for part in (Part.LEFT_EYE, Part.RIGHT_EYE)]
    return _EYES_APART / float(np.linalg.norm(eyes[1].mean(axis=0) - eyes[0].mean(axis=0)))


def _people(pack: dict[str, Any]) -> People:
    names = tuple(str(name) for name in pack["macro_names"])
    scale = np.float32(_scale(pack))
    base = pack["base"] * scale
    macro = (moves(pack, "macro") * scale).reshape(len(names), -1)
    adults = [Person(25, female, np.eye(3)[origin]) for female in (0.0, 1.0) for origin in range(len(ORIGINS))]
    detail_names, detail, paired = _pairs(pack, scale)
    middle = centres(detail_names)
    moved = np.mean([macro_weights(names, adult, 0.5, 0.5) @ macro for adult in adults], axis=0)
    moved = moved + detail @ np.concatenate([np.maximum(middle, 0), np.maximum(-middle, 0)])
    mean = base + moved.reshape(-1, 3)
    bent = bend(mean, _points(pack)[:68] @ mean, scheme("ibug68").flip)
    base, mean = base + bent, mean + bent
    eyes = np.stack([mean[np.unique(pack["quads"][pack["part"] == p])].mean(axis=0)
                     for p in (Part.LEFT_EYE, Part.RIGHT_EYE)])  # fmt: skip
    mean = (mean - eyes.mean(axis=0)) * (_EYES_APART / float(eyes[1, 0] - eyes[0, 0])) + _EYES_AT
    front = pack["head"] & (mean[:, 2] > 2) & (mean[:, 1] > -7) & (np.abs(mean[:, 0]) < 6.5)
    mean = mean.astype(np.float32)
    return People(base, macro, names, detail, detail_names, paired, mean, front, find_arms(mean))


def _pairs(pack: dict[str, Any], scale: np.float32) -> tuple[tuple[str, ...], csr_matrix, NDArray[np.bool_]]:
    targets = dict(zip((str(n) for n in pack["detail_names"]), moves(pack, "detail") * scale, strict=True))
    firsts = [name for name in targets if not name.endswith("-") or name[:-1] + "+" not in targets]
    zero = np.zeros_like(next(iter(targets.values())))
    opposites = [name[:-1] + "-" if name.endswith("+") else "" for name in firsts]
    paired = np.array([name in targets for name in opposites])
    first = np.stack([targets[name] for name in firsts]).reshape(len(firsts), -1)
    second = np.stack([targets.get(name, zero) for name in opposites]).reshape(len(firsts), -1)
    return tuple(firsts), csr_matrix(np.concatenate([first, second]).T, dtype=np.float32), paired


def _fine(
    pack: dict[str, Any], people: People
) -> tuple[csr_matrix, Floats, NDArray[np.int32], NDArray[np.int32], Floats]:
    """The fine mesh: (V, N) weights, (V, 3) offsets, triangles (T, 3), material (T,), texels (T, 3, 2)."""
    count = len(pack["base"])
    smooth, quads = catmull_clark(pack["quads"].astype(np.int64), count)
    corners = spread_corners(_texels(pack["uv"]))
    part = np.repeat(pack["part"], 4)
    corner, weight = pack["teeth_corners"], pack["teeth_weights"]
    rows = np.repeat(np.arange(len(corner)), 3)
    teeth = coo_matrix((weight.reshape(-1), (rows, corner.reshape(-1))), shape=(len(corner), count)).tocsr()
    pieces = _pieces(pack["teeth_quads"], len(corner))
    gums = np.bincount(pieces)[pieces] > _TOOTH
    widened = _widened(pieces, gums)
    teeth = widened @ teeth
    refine = csr_matrix(vstack([smooth, teeth, _points(pack)]), dtype=np.float32)
    offset = np.zeros((refine.shape[0], 3), np.float32)
    behind = np.array([0, 0, _TEETH_BACK], np.float32)
    offset[smooth.shape[0] : -POINTS] = widened @ pack["teeth_offsets"] * _scale(pack) - behind
    every = np.concatenate([quads, pack["teeth_quads"] + smooth.shape[0]])
    triangles = np.concatenate([every[:, [0, 1, 2]], every[:, [0, 2, 3]]])
    stuff = np.array(
        [_MATERIALS[Part(p)] for p in part]
        + [Material.GUMS if of_gums else Material.TEETH for of_gums in gums[pack["teeth_quads"][:, 0]]],
        np.int32,
    )
    at = np.concatenate([corners, np.zeros((len(pack["teeth_quads"]), 4, 2), np.float32)])
    uv = np.concatenate([at[:, [0, 1, 2]], at[:, [0, 2, 3]]])
    solid = triangles[:, 1] != triangles[:, 2]
    solid &= triangles[:, 0] != triangles[:, 2]
    return (
        refine, offset, np.ascontiguousarray(triangles[solid], np.int32), np.tile(stuff, 2)[solid],
        np.ascontiguousarray(uv[solid], np.float32),
    )  # fmt: skip


def _pieces(quads: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Which connected piece each of `count` vertices of quads (Q, 4) belongs to."""
    start, end = quads.reshape(-1), np.roll(quads, -1, axis=1).reshape(-1)
    edges = coo_matrix((np.ones(len(start)), (start, end)), shape=(count, count))
    return np.asarray(connected_components(edges, directed=False)[1], np.int64)


def _widened(pieces: NDArray[np.int64], gums: NDArray[np.bool_]) -> csr_matrix:
    """(T, T): every tooth a little larger about its own middle, so that neighbours touch."""
    count = len(pieces)
    member = coo_matrix((np.ones(count), (np.arange(count), pieces))).tocsr()
    middle = member @ diags(1 / np.bincount(pieces)) @ member.T
    larger = np.where(gums, 0.0, _TOOTH_LARGER)
    return csr_matrix(diags(1 + larger) - diags(larger) @ middle)


def _points(pack: dict[str, Any]) -> csr_matrix:
    """(468, N) weights of the coarse mesh's vertices in the 68 and the dense points."""
    table, kept = places(), pack["kept"].astype(np.int64)
    column = np.searchsorted(kept, table["makehuman_vertices"]).clip(max=len(kept) - 1)
    if not np.array_equal(kept[column], table["makehuman_vertices"]):
        raise FakeitError("head.file: field 'kept' lacks vertices that points lie on; make it with --import-makehuman")
    return csr_matrix(
        (table["makehuman_weights"], column, table["makehuman_starts"]), shape=(POINTS, len(kept)), dtype=np.float32
    )


def _texels(uv: NDArray[np.floating]) -> Floats:
    """Places (…, 2) on the whole skin, 0 to 1, v upwards → texels of its cropped picture."""
    left, top, _, _ = CROP
    return np.asarray(uv * [SIDE, -SIDE] + [-left - 0.5, SIDE - top - 0.5], np.float32)


def _sphere(points: Floats) -> tuple[float, float, float, float]:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return float(centre[0]), float(centre[1]), float(centre[2]), float(np.ptp(points[:, 0]) / 2)

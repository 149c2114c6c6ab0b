#!/usr/bin/env python
"""Lays the 70 and the dense points on every head kind, once: pipelines/synth/data/places.npz.

ICT's mesh is the reference. MakeHuman's mean adult is bent onto it (displacements that are smooth along the mesh, drawn
to the closest surface of a like direction, softer from round to round; Amberg, Romdhani, Vetter 2007), with points of
eyes and mouth that were read off enlarged pictures as seeds; the built-in head is reached by a thin-plate spline
through the 68 points. Run it again where a mesh or the list changes; docs/synthesize.md says what was looked at.
"""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.sparse import coo_matrix, diags, identity
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from fakeit.pipelines.dense_points import DENSE, MIDDLE, dense_mirror
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.synth.head import Head, Material
from fakeit.pipelines.synth.heads import load_head
from fakeit.pipelines.synth.makehuman_pack import CROP, SIDE, read_pack
from fakeit.pipelines.synth.raster import vertex_normals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Points of eyes and mouth at the viewer's left on MakeHuman's base mesh (vertices of hm08), read off pictures.
LAID = {
    36: {21: 1.0}, 37: {0: 1.0}, 38: {54: 1.0}, 39: {66: 1.0}, 40: {47: 1.0}, 41: {41: 1.0},
    48: {422: 1.0}, 49: {5364: 0.35, 410: 0.65}, 50: {450: 0.4, 456: 0.6}, 51: {455: 1.0},
    57: {492: 1.0}, 58: {486: 1.0}, 59: {480: 0.2, 406: 0.8}, 60: {430: 0.5, 443: 0.5},
    61: {472: 0.4, 471: 0.6}, 62: {474: 1.0}, 66: {523: 1.0}, 67: {517: 0.65, 518: 0.35},
}  # fmt: skip
# Moves of other points (cm on the mean head, x outwards, y up), and of lips above, towards where the network in the
# box, which had learnt ICT's heads with points as AFW's annotators set them, saw them on MakeHuman's: 70 % of its
# median disagreement on 150 upright faces, less its own on ICT's.
MOVED = {
    0: (0.07, 0.01), 1: (0.06, 0.02), 2: (0.02, 0.08), 3: (0.11, 0.14), 4: (0.11, 0.18), 5: (0.09, 0.23),
    6: (0.13, 0.1), 7: (0.14, -0.18), 8: (0.0, -0.21),
    27: (0.0, 0.2), 28: (0.0, 0.25), 29: (0.0, 0.16), 30: (0.0, 0.08),
}  # fmt: skip
# Then to where annotators set them (same units): what a network that had learnt the points above on MakeHuman's faces
# marked on upright real ones less the labels, median over 170 faces of AFW and 565 of HELEN-train, which agree within
# 0.1 cm, sides symmetrised; less the same on rendered faces. Brows stay: `complexion` lays their strands lower instead.
ANNOTATED = {
    0: (0.24, -0.4), 1: (0.13, -0.35), 2: (0.05, -0.44), 3: (0.07, -0.47), 4: (0.16, -0.1), 5: (0.0, -0.2),
    6: (-0.2, -0.41), 7: (-0.17, -0.58), 8: (0.0, -0.45),
    17: (-0.07, 0.0), 18: (-0.04, 0.0), 19: (-0.28, 0.0), 20: (0.04, 0.0),
    27: (0.0, 0.07), 28: (0.0, 0.17), 29: (0.0, 0.23), 30: (0.0, 0.25), 31: (0.0, 0.21), 32: (0.0, 0.11),
    36: (-0.19, -0.05), 37: (-0.05, 0.12), 38: (-0.13, 0.09), 39: (0.0, -0.12), 40: (-0.17, 0.0),
    49: (-0.06, -0.19), 50: (0.0, -0.11), 51: (0.0, -0.27), 57: (0.0, 0.12), 58: (0.07, 0.13), 59: (-0.08, 0.0),
    60: (0.0, -0.05), 61: (-0.09, 0.13), 62: (0.0, 0.09), 66: (0.0, -0.11), 67: (-0.09, -0.11),
}  # fmt: skip


def main(arguments: argparse.Namespace) -> None:
    ict = load_head("ict", arguments.ict)
    made = load_head("makehuman", arguments.makehuman)
    kept = read_pack(arguments.makehuman)["kept"].astype(np.int64)
    builtin = load_head("builtin")
    dense, mirror = dense_places(ict), dense_mirror()
    laid = laid_points(made, kept)
    bent = bend(made, ict, laid)
    wanted = np.concatenate([ict.neutral[ict.landmarks[:68]], ict.neutral[dense]]).astype(float)
    normals = vertex_normals(ict.neutral, ict.triangles)[np.concatenate([ict.landmarks[:68], dense])]
    corners, weights, gap = closest(bent, made, wanted, normals)
    for point, (at, share) in laid.items():
        corners[point], weights[point] = at, share
    outside = vertex_normals(made.neutral, made.triangles)
    for point, (out, up) in MOVED.items():
        here = weights[point] @ made.neutral[corners[point]] + [-out, up, 0]
        facing = weights[point] @ outside[corners[point]]
        found = closest(made.neutral.astype(float), made, here[None], facing[None])
        corners[point], weights[point] = found[0][0], found[1][0]
    for point, (out, up) in ANNOTATED.items():
        corners[point], weights[point] = slide(made, corners[point], weights[point], np.array([-out, up]))
    corners, weights = mirrored_alike(made, corners, weights, [*scheme("ibug68").flip, *(mirror + 68)])
    spline = RBFInterpolator(ict.neutral[ict.landmarks[:68]], builtin.neutral[builtin.landmarks[:68]], smoothing=0.05)
    there = spline(ict.neutral[dense])
    front = np.flatnonzero(builtin.canonical[:, 2] > -3)
    nearest = front[cKDTree(builtin.neutral[front]).query(there)[1]]
    print(
        f"gap of the bent mesh: median {np.median(gap):.3f} cm, 95 % {np.quantile(gap, 0.95):.3f}, most {gap.max():.3f}"
    )
    assert made.refine is not None
    rows = np.repeat(np.arange(len(corners)), 3)
    shape = (len(corners), len(made.neutral))
    mesh = (coo_matrix((weights.reshape(-1), (rows, corners.reshape(-1))), shape).tocsr() @ made.refine).tocsr()
    mesh.eliminate_zeros()
    np.savez_compressed(
        arguments.output,
        version="fakeit places 1",
        ict=dense.astype(np.int32),
        builtin=nearest.astype(np.int32),
        makehuman_starts=mesh.indptr.astype(np.int32),
        makehuman_vertices=kept[mesh.indices].astype(np.int32),
        makehuman_weights=mesh.data.astype(np.float32),
        makehuman_uv=texture_places(made, corners, weights),
    )


def texture_places(made: Head, corners: Ints, weights: Floats) -> NDArray[np.float32]:
    """Places (68, 2) of the points on MakeHuman's skin, 0 to 1, v upwards."""
    assert made.uv is not None
    at = np.zeros((len(made.neutral), 2))
    at[made.triangles.reshape(-1)] = made.uv.reshape(-1, 2)
    texels = np.einsum("kc,kcx->kx", weights, at[corners])[:68]
    return ((texels + [CROP[0] + 0.5, CROP[1] + 0.5 - SIDE]) / [SIDE, -SIDE]).astype(np.float32)


def dense_places(ict: Head) -> Ints:
    """Vertices (K,) of ICT, spread over the face, closer where it moves more, in the order of
    `dense_points`: the middle line, the viewer's left, its mirror images."""
    v = ict.neutral
    face = np.unique(ict.triangles[ict.material == Material.FACE])
    normals = vertex_normals(v, ict.triangles)
    x, y, z = v[face].T
    outside = (z > 1.0) & (y > -9.5) & (y < 10.5) & (np.abs(x) < 8.6) & (y + 0.45 * z > -6.9)
    outside &= normals[face] @ [0, 0, 1] > -0.5
    points = v[ict.landmarks[:68]]
    outside &= ~_inside(v[face], points[36:42]) & ~_inside(v[face], points[42:48]) & ~_inside(v[face], points[60:68])
    for eye in ict.eyes:  # nothing of the sockets
        outside &= np.linalg.norm(v[face] - eye[:3], axis=1) > eye[3] - 0.02
    chosen = face[outside]
    fine = cKDTree(points[17:]).query(v[chosen])[0]
    reach = 0.45 + 0.28 * np.clip(fine, 0, 3.2)
    middle = chosen[np.abs(v[chosen, 0]) < 0.02]
    half = chosen[v[chosen, 0] < -0.3]
    radius = dict(zip(chosen.tolist(), reach.tolist(), strict=True))
    line = _spread(v, middle, radius, MIDDLE)
    side = _spread(v, half, radius, (DENSE - MIDDLE) // 2, v[line])
    tree = cKDTree(v[chosen])
    away, at = tree.query(v[side] * [-1, 1, 1])
    other = chosen[at]
    print(f"mirror images lie at most {away.max():.3f} cm off")
    places = np.concatenate([line, side, other])
    return places


def _inside(points: NDArray[np.float32], outline: NDArray[np.float32]) -> NDArray[np.bool_]:
    import cv2

    polygon = np.ascontiguousarray(outline[:, :2], np.float32)
    near = points[:, 2] > outline[:, 2].min() - 3
    return near & np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) > 0.02 for x, y in points[:, :2]])


def _spread(
    v: NDArray[np.float32],
    candidates: Ints,
    radius: dict[int, float],
    count: int,
    taken: NDArray[np.float32] | None = None,
) -> Ints:
    """Farthest points first, also from those `taken`, distances in units of each candidate's own radius."""
    scale = np.array([radius[int(c)] for c in candidates])
    at = v[candidates]
    chosen = [int(np.argmax(at[:, 2]))]
    away = np.linalg.norm(at - at[chosen[0]], axis=1) / scale
    if taken is not None:
        away = np.minimum(away, cKDTree(taken).query(at)[0] / scale)
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(at - at[chosen[-1]], axis=1) / scale)
    return candidates[chosen]


def laid_points(made: Head, kept: Ints) -> dict[int, tuple[Ints, Floats]]:
    """Corners (3,) and weights (3,) on the fine mesh of the points in `LAID` and of their mirror images."""
    flip = scheme("ibug68").flip
    tree = cKDTree(made.neutral)
    laid = {}
    for point, mix in LAID.items():
        at = np.searchsorted(
            kept, [*mix, *[next(iter(mix))] * (3 - len(mix))]
        )  # coarse vertices are the first fine ones
        share = np.array([*mix.values(), *[0.0] * (3 - len(mix))])
        laid[point] = at, share
        if flip[point] != point:
            laid[flip[point]] = tree.query(made.neutral[at] * [-1, 1, 1])[1], share
    return laid


def bend(made: Head, ict: Head, laid: dict[int, tuple[Ints, Floats]]) -> Floats:
    """The fine mesh's vertices (V, 3), bent onto ICT's surface."""
    skin = made.triangles[made.material == Material.FACE]
    used = np.unique(skin)
    v = made.neutral[used].astype(float)
    index = np.full(len(made.neutral), -1)
    index[used] = np.arange(len(used))
    ends = np.unique(np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1), axis=0)
    ends = index[ends]
    length = np.linalg.norm(v[ends[:, 0]] - v[ends[:, 1]], axis=1) + 0.02
    rows = np.arange(len(ends))
    edges = coo_matrix((1 / length, (rows, ends[:, 0])), (len(ends), len(v))) - coo_matrix(
        (1 / length, (rows, ends[:, 1])), (len(ends), len(v)))  # fmt: skip
    stiff = (edges.T @ diags(length) @ edges).tocsc()
    target, facing = _samples(ict)
    tree = cKDTree(target)
    seeds = [(index[at], share, ict.neutral[ict.landmarks[point]].astype(float)) for point, (at, share) in laid.items()]
    pull = coo_matrix(
        (
            np.concatenate([share for _, share, _ in seeds]),
            (np.repeat(np.arange(len(seeds)), 3), np.concatenate([at for at, _, _ in seeds])),
        ),
        (len(seeds), len(v)),
    ).tocsr()  # fmt: skip
    goal = np.stack([s[2] for s in seeds])
    moved = v.copy()
    faces = index[skin].astype(np.int32)
    for softness in (30, 30, 15, 15, 8, 8, 4, 4, 2, 2, 1, 1, 0.5, 0.5, 0.3, 0.3):
        normals = vertex_normals(moved.astype(np.float32), faces)
        away, at = tree.query(moved, k=12)
        agree = (facing[at] * normals[:, None]).sum(axis=2)
        cost = away + 2.0 * (1 - agree)
        best = cost.argmin(axis=1)
        row = np.arange(len(v))
        trust = (agree[row, best] > 0.6) & (away[row, best] < max(0.35, 0.12 * softness + 0.3)) & (v[:, 1] > -12)
        data = diags(trust.astype(float))
        matrix = softness * stiff + data + 30 * (pull.T @ pull) + 1e-6 * identity(len(v))
        right = data @ (target[at[row, best]] - v) + 30 * pull.T @ (goal - pull @ v)
        moved = v + splu(matrix.tocsc()).solve(right)
    bent = made.neutral.astype(float)
    bent[used] = moved
    return bent


def _samples(head: Head) -> tuple[Floats, Floats]:
    """Points on the surface and their normals: vertices, edges' middles, triangles' middles."""
    triangles = head.triangles[np.isin(head.material, (Material.FACE, Material.SCALP))]
    v, n = head.neutral.astype(float), vertex_normals(head.neutral, triangles).astype(float)
    parts = [np.unique(triangles)[:, None], triangles[:, [0, 1]], triangles[:, [1, 2]], triangles]
    points, normals = (np.concatenate([what[part].mean(axis=1) for part in parts]) for what in (v, n))
    return points, normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)


def closest(bent: Floats, made: Head, wanted: Floats, facing: Floats) -> tuple[Ints, Floats, Floats]:
    """For points (K, 3) with normals the closest places of a mesh's skin: corners (K, 3), weights (K, 3), gap (K,)."""
    skin = made.triangles[made.material == Material.FACE].astype(np.int64)
    middle = bent[skin].mean(axis=1)
    normals = np.cross(bent[skin[:, 1]] - bent[skin[:, 0]], bent[skin[:, 2]] - bent[skin[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    _, near = cKDTree(middle).query(wanted, k=60)
    corners, weights, gap = [], [], []
    for point, normal, candidates in zip(wanted, facing, near, strict=True):
        alike = candidates[normals[candidates] @ normal > 0.2]
        alike = alike if len(alike) else candidates
        found = [_on_triangle(point, bent[skin[t]]) for t in alike]
        away = [np.linalg.norm(w @ bent[skin[t]] - point) for t, w in zip(alike, found, strict=True)]
        best = int(np.argmin(away))
        corners.append(skin[alike[best]])
        weights.append(found[best])
        gap.append(away[best])
    return np.array(corners), np.array(weights), np.array(gap)


def slide(made: Head, corners: Ints, weights: Floats, move: Floats) -> tuple[Ints, Floats]:
    """The place that lies `move` (x, y in cm) from another along the skin, so that no point of a lip goes to the other
    lip: how deep it lies counts a third, since a face is seen from ahead."""
    skin = made.triangles[made.material == Material.FACE].astype(np.int64)
    v = made.neutral.astype(float)
    ends = np.unique(np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1), axis=0)
    length = np.linalg.norm(v[ends[:, 0]] - v[ends[:, 1]], axis=1) + 1e-6
    graph = coo_matrix((length, (ends[:, 0], ends[:, 1])), (len(v), len(v))).tocsr()
    away = dijkstra(graph, directed=False, indices=corners, min_only=True, limit=2 * float(np.linalg.norm(move)) + 0.3)
    near = skin[np.isfinite(away)[skin].all(axis=1)]
    view = np.array([1, 1, 1 / 3])
    wanted = (weights @ v[corners] + [*move, 0]) * view
    found = [_on_triangle(wanted, v[triangle] * view) for triangle in near]
    gap = [np.linalg.norm(share @ v[triangle] * view - wanted) for triangle, share in zip(near, found, strict=True)]
    best = int(np.argmin(gap))
    return near[best], found[best]


def _on_triangle(point: Floats, corners: Floats) -> Floats:
    """Barycentric weights of the closest place, by clipping: near enough within a millimetre's triangle."""
    a, b, c = corners
    basis = np.stack([b - a, c - a], axis=1)
    v, w = np.clip(np.linalg.lstsq(basis, point - a, rcond=None)[0], 0, 1)
    total = max(1.0, v + w)
    return np.array([1 - (v + w) / total, v / total, w / total])


def mirrored_alike(made: Head, corners: Ints, weights: Floats, mirror: list[int]) -> tuple[Ints, Floats]:
    """Each point at the viewer's right is the mirror image of its fellow at the left, on the mesh too."""
    tree = cKDTree(made.neutral)
    other = tree.query(made.neutral * [-1, 1, 1])[1]
    corners, weights = corners.copy(), weights.copy()
    at = np.einsum("kc,kcx->kx", weights, made.neutral[corners])
    for point, fellow in enumerate(mirror):
        if at[point, 0] < at[fellow, 0]:
            corners[fellow], weights[fellow] = other[corners[point]], weights[point]
    return corners, weights


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--ict", required=True, help="the packed ICT model")
    p.add_argument("--makehuman", default="", help="a packed MakeHuman head (default: the shipped one)")
    p.add_argument("--output", default="pipelines/synth/data/places.npz")
    main(p.parse_args())

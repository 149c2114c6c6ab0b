"""Hair of strands: roots on the scalp, locks that are combed, fall and do not enter the head, strands about each lock.

A lock is followed step by step (combing, weight, the head's own surface); its strands keep their place about it, gather
towards its tip and curl. Head frame, cm.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.hair import Hair, Style

Floats = NDArray[np.float32]
CENTRE = np.array([0.0, 2.5, -1.0], np.float32)  # of the head, for how far out its surface lies in any direction
_ROWS, _COLUMNS = 32, 48
_PIXELS = 6e5  # that a head of hair may cover, counted once a lock: what bounds its time
_LEAST, _MOST = 1000, 1800  # locks
_STRAYS = 0.16  # share of single hairs beside them
_COIL_NODES = 11


class Grown(NamedTuple):
    """Hair on a head.

    Attributes:
        strands: (N, K, 3) locks and single hairs from root to tip, head frame, cm.
        under: (N,) how little each lies under others, 0 to 1.
        owner: (N,) which tuft each belongs to: hair of one tuft is of one colour.
        widths: (N,) cm.
    """

    strands: Floats
    under: Floats
    owner: NDArray[np.int64]
    widths: Floats

    @classmethod
    def none(cls) -> Grown:
        """A bald head."""
        nothing = np.zeros(0, np.float32)
        return cls(np.zeros((0, 2, 3), np.float32), nothing, np.zeros(0, np.int64), nothing)


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _radii(vertices: Any, centre: Any, rows: int, columns: int) -> Any:
    """How far out the mesh reaches from its centre, (rows, columns): latitude from below, longitude from −π."""
    out = np.zeros((rows, columns), np.float32)
    for v in range(0, vertices.shape[0], 3):
        if vertices[v, 1] < -6.0 and (abs(vertices[v, 0]) > 8.5 or vertices[v, 1] < -12.0):
            continue  # shoulders and arms are no part of the head
        if vertices[v, 1] < -8.0 and vertices[v, 2] < 3.0:
            continue  # nor is the back
        x, y, z = vertices[v, 0] - centre[0], vertices[v, 1] - centre[1], vertices[v, 2] - centre[2]
        far = math.sqrt(x * x + y * y + z * z) + 1e-6
        row = min(rows - 1, int((math.asin(y / far) / math.pi + 0.5) * rows))
        column = min(columns - 1, int((math.atan2(x, z) / (2 * math.pi) + 0.5) * columns))
        out[row, column] = max(out[row, column], far)
    return out


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _radius(radii: Any, x: float, y: float, z: float, far: float) -> float:
    rows, columns = radii.shape
    row = (math.asin(max(-1.0, min(1.0, y / far))) / math.pi + 0.5) * rows - 0.5
    column = (math.atan2(x, z) / (2 * math.pi) + 0.5) * columns - 0.5
    r0, c0 = int(math.floor(row)), int(math.floor(column))
    fr, fc = row - r0, column - c0
    a, b = max(0, r0), min(rows - 1, r0 + 1)
    c, d = c0 % columns, (c0 + 1) % columns
    return (1 - fr) * ((1 - fc) * radii[a, c] + fc * radii[a, d]) + fr * ((1 - fc) * radii[b, c] + fc * radii[b, d])


def head_radii(vertices: Floats) -> Floats:
    """How far out a head reaches in any direction from `CENTRE`, (rows, columns), cm."""
    radii = _radii(vertices, CENTRE, _ROWS, _COLUMNS)
    for _ in range(4):  # cells without a vertex take their neighbours'
        around = np.concatenate([radii[:, -1:], radii, radii[:, :1]], axis=1)
        filled = cv2.dilate(around, np.ones((3, 3), np.uint8))[:, 1:-1]
        radii = np.where(radii > 0, radii, filled)
    return np.asarray(radii, np.float32)


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _grow(
    roots: Any, normals: Any, lengths: Any, fringe: Any, clear: Any, radii: Any, centre: Any, style: Any, out: Any
) -> None:
    """Locks (N, K, 3); `fringe` (N,) says which fall over the forehead. `style`: parting, sweep, backwards, lift,
    stiffness."""
    parting, sweep, backwards, lift, stiff = style[0], style[1], style[2], style[3], style[4]
    nodes = out.shape[1]
    d, comb, p, q = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for s in range(roots.shape[0]):
        side = roots[s, 0] - parting
        aside = max(-1.0, min(1.0, side / 2.5))
        front = max(0.0, min(1.0, (roots[s, 2] - 1.0) / 4)) * max(0.0, min(1.0, (roots[s, 1] - 6) / 3))
        falls = fringe[s]
        comb[0] = (aside * 0.9 + sweep) * (1 - 0.8 * backwards)
        comb[1] = -0.35
        comb[2] = -0.25 * (1 - front)
        if falls:
            comb[0], comb[1], comb[2] = sweep + 0.25 * aside, -0.6, 0.8
        else:
            comb[0] += front * 0.5 * aside
            ahead = 0.35 if lengths[s] < 9 else -0.3  # long hair that is no fringe is combed out of the face
            comb[2] += -1.2 * backwards + front * (ahead if backwards < 0.3 else 0.0)
            comb[1] += 0.35 * backwards
        outward = max(0.0, comb[0] * normals[s, 0] + comb[1] * normals[s, 1] + comb[2] * normals[s, 2])
        length = 0.0
        for a in range(3):  # a comb goes along the scalp; what stands off it is the lift's
            comb[a] -= outward * normals[s, a]
            length += comb[a] * comb[a]
        length = math.sqrt(length) + 1e-6
        size, rise = 0.0, lift * (0.3 + 0.7 * max(0.0, min(1.0, (roots[s, 1] - 4) / 5)))  # sides and nape lie flat
        for a in range(3):
            comb[a] /= length
            d[a] = rise * normals[s, a] + (1 - rise) * comb[a]
            size += d[a] * d[a]
        size = math.sqrt(size) + 1e-6
        step = lengths[s] / (nodes - 1)
        keep = stiff ** (step * 1.2)  # what is left of a direction after this far
        for a in range(3):
            d[a] /= size
            p[a] = roots[s, a]
            out[s, 0, a] = p[a]
        for k in range(1, nodes):
            run = k * step
            combed = math.exp(-run / 5)
            for a in range(3):
                wanted = comb[a] * combed - (1.0 - 0.6 * combed if a == 1 else 0.0)
                d[a] = keep * d[a] + (1 - keep) * wanted
            if not falls and p[2] > 2.0 and p[1] < 7.5 and abs(p[0]) < 8.2:  # out of the face
                push = min(1.0, 0.8 * step) * min(1.0, (7.5 - p[1]) / 2)
                d[0] += (2.2 if (p[0] > 0 if abs(p[0]) > 1 else side > 0) else -2.2) * (1 - abs(p[0]) / 8.5) * push
                d[2] -= 0.9 * push
            size = math.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2) + 1e-6
            far = 0.0
            for a in range(3):
                d[a] /= size
                p[a] += step * d[a]
                q[a] = p[a] - centre[a]
                far += q[a] * q[a]
            far = math.sqrt(far) + 1e-6
            limit = _radius(radii, q[0], q[1], q[2], far) if q[1] > -0.45 * far else 0.0
            limit += clear[s] * min(1.0, run / 2)
            neck = 5.8 + clear[s] + (0.35 * (-13.0 - p[1]) if p[1] < -13.0 else 0.0)
            flat = math.sqrt(q[0] * q[0] + (q[2] + 0.5) * (q[2] + 0.5))
            if q[1] <= -0.45 * far and flat < neck and flat > 0.1:  # neck and shoulders
                p[0] = centre[0] + q[0] * neck / flat
                p[2] = centre[2] - 0.5 + (q[2] + 0.5) * neck / flat
            if far < limit:
                inward = (d[0] * q[0] + d[1] * q[1] + d[2] * q[2]) / far
                for a in range(3):
                    p[a] = centre[a] + q[a] * limit / far
                    if inward < 0:
                        d[a] -= inward * q[a] / far
            for a in range(3):
                out[s, k, a] = p[a]
        for _ in range(2):  # hair has no corners
            for a in range(3):
                before = out[s, 0, a]
                for k in range(1, nodes - 1):
                    here = out[s, k, a]
                    out[s, k, a] = 0.25 * before + 0.5 * here + 0.25 * out[s, k + 1, a]
                    before = here


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _gather(
    roots: Any, lengths: Any, guides: Any, guide_lengths: Any, scatter: Any, centre: Any, style: Any, out: Any,
    owner: Any,
) -> None:  # fmt: skip
    """Strands (N, K, 3) about their nearest locks. `style`: curl, turns, clump, frizz, spread."""
    curl, turns, clump, frizz, spread = style[0], style[1], style[2], style[3], style[4]
    nodes = out.shape[1]
    for s in range(roots.shape[0]):
        nearest, best = 0, 1e9
        for g in range(guides.shape[0]):
            gap = (roots[s, 0] - guides[g, 0, 0]) ** 2
            if gap >= best:
                continue
            gap += (roots[s, 1] - guides[g, 0, 1]) ** 2 + (roots[s, 2] - guides[g, 0, 2]) ** 2
            if gap < best:
                best, nearest = gap, g
        start = 0.0
        owner[s] = nearest
        for a in range(3):
            start += (guides[nearest, 0, a] - centre[a]) ** 2
        ratio = min(1.0, lengths[s] / max(guide_lengths[nearest], 0.1))
        phase = 2.4 * nearest + 0.9 * scatter[s, 3]
        wide = curl * (0.8 + 0.4 * abs(scatter[s, 3]))
        for k in range(nodes):
            at = k * ratio
            low = min(nodes - 2, int(at))
            part = at - low
            share = k / (nodes - 1)
            keep = (1 - clump * min(1.0, 1.6 * share)) if share > 0 else 1.0
            far = 0.0
            for a in range(3):
                far += (guides[nearest, low, a] - centre[a]) ** 2
            keep *= 1 + spread * (math.sqrt(far / max(start, 1e-3)) - 1)  # strands part as they leave the head
            turn = 6.283 * turns * share * lengths[s] + phase
            strong = min(1.0, 3 * share)
            for a in range(3):
                along = guides[nearest, low, a] * (1 - part) + guides[nearest, low + 1, a] * part
                place = along + keep * (roots[s, a] - guides[nearest, 0, a]) + frizz * share * scatter[s, a]
                if a == 0:
                    place += wide * strong * math.cos(turn)
                elif a == 1:
                    place += wide * strong * 0.5 * math.sin(turn + 1)
                else:
                    place += wide * strong * math.sin(turn)
                out[s, k, a] = place


def roots_on(
    vertices: Floats,
    normals: Floats,
    triangles: NDArray[np.int32],
    density: Floats,
    count: int,
    random: np.random.Generator,
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Random places on a mesh: points (N, 3), normals (N, 3), and the triangles (N,) that they lie on.

    Args:
        vertices: (V, 3).
        normals: (V, 3).
        triangles: (T, 3).
        density: (T,) how likely a root is on each triangle (area included).
        count: N.
        random: numbers.
    """
    total = np.cumsum(density, dtype=np.float64)
    if not len(total) or total[-1] <= 0 or count <= 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    chosen = np.minimum(np.searchsorted(total, np.sort(random.random(count)) * total[-1]), len(density) - 1)
    share = random.random((count, 2))
    share = np.where(share.sum(axis=1, keepdims=True) > 1, 1 - share, share)
    weights = np.concatenate([1 - share.sum(axis=1, keepdims=True), share], axis=1)[..., None]
    corners = triangles[chosen]
    place, normal = (vertices[corners] * weights).sum(axis=1), (normals[corners] * weights).sum(axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    order = random.permutation(count)  # sorted numbers are found faster; what comes first must not lie together
    return place[order].astype(np.float32), normal[order].astype(np.float32), chosen[order]


def areas(vertices: Floats, triangles: NDArray[np.int32]) -> Floats:
    """(T,) of triangles, cm²."""
    a, b, c = vertices[triangles[:, 0]], vertices[triangles[:, 1]], vertices[triangles[:, 2]]
    return np.asarray(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1), np.float32)


def grow(
    hair: Hair, style: Style, vertices: Floats, normals: Floats, triangles: NDArray[np.int32], size: Floats,
    radii: Floats, scale: float,
    ceiling: Floats | None, random: np.random.Generator,
) -> Grown:  # fmt: skip
    """A head of hair as locks, head frame.

    Args:
        hair: where it grows.
        style: how.
        vertices: (V, 3) of the head.
        normals: (V, 3).
        triangles: (T, 3).
        size: (T,) `areas`.
        radii: `head_radii`.
        scale: pixels a cm: how many locks are worth drawing.
        ceiling: (2,) y and slope by z of a hat's rim; no root lies above it. None: no hat.
        random: numbers.
    """
    weight = hair.weight
    if ceiling is not None:
        weight = weight * (vertices[:, 1] < ceiling[0] + ceiling[1] * vertices[:, 2])
    a, b, c = (weight[corner] for corner in triangles.T)
    hairy = np.flatnonzero(a * b * c)
    triangles, size, here = triangles[hairy], size[hairy], (a[hairy] + b[hairy] + c[hairy]) / 3
    if style.round:
        return _coils(hair, style, vertices, normals, triangles, size * here, scale, random)
    longest = max(style.top, style.sides, style.back, 0.5)
    width = _width(style)
    fine = float(np.clip(scale / 12, 0.4, 1))  # a small picture shows fewer
    shown = min(longest, 22.0) * scale * (width * scale + 1)
    count = int(np.clip(style.density * _PIXELS / shown, _LEAST * fine, _MOST * fine))
    stray = int(_STRAYS * count)
    roots, outward, owners = roots_on(vertices, normals, triangles, size * here, count + stray, random)
    count = len(roots)
    if count == 0:
        return Grown.none()
    scatter = random.normal(0, 1, (count, 4)).astype(np.float32)
    under = random.random(count).astype(np.float32)
    strays = np.arange(count) >= count - stray
    strays &= (roots[:, 2] < 2.0) | (longest < 9)  # none hangs into the face
    uneven = np.exp(random.normal(0, 0.12, count))
    high = np.clip((roots[:, 1] - 6) / 3, 0, 1)
    behind = np.clip((-roots[:, 2] - 1) / 3, 0, 1)
    lengths = high * style.top + (1 - high) * (behind * style.back + (1 - behind) * style.sides)
    fringe = (style.fringe > 0) & (roots[:, 2] > 3.0) & (roots[:, 1] > 6.5) & (np.abs(roots[:, 0]) < 5.5)
    lengths = np.where(fringe, np.minimum(style.fringe, lengths), lengths)
    lengths = lengths * uneven * np.minimum(1.0, 0.4 + here[owners])  # what grows at the hairline is young
    lengths = lengths.astype(np.float32)
    nodes = int(np.clip(4 + longest * (style.turns * 7 if style.curl > 0.05 else 0.4), 8, 44))
    locks = min(style.locks, count)
    guides = np.empty((locks, nodes, 3), np.float32)
    combing = np.array([style.parting, style.sweep, style.backwards, style.lift, style.stiffness], np.float32)
    clear = (style.volume * (0.25 + 0.75 * under)).astype(np.float32)
    _grow(
        roots[:locks], outward[:locks], lengths[:locks], fringe[:locks], clear[:locks], radii, CENTRE, combing, guides
    )
    strands = np.empty((count, nodes, 3), np.float32)
    owner = np.empty(count, np.int64)
    turns = min(style.turns, 5.5 / longest)  # what so few nodes can follow
    curls = np.array([style.curl, turns, style.clump, style.frizz, max(0.4, style.lift)], np.float32)
    scatter[strays, :3] *= 2.5 if longest < 9 else 1.5
    _gather(roots, lengths, guides, lengths[:locks], scatter, CENTRE, curls, strands, owner)
    widths = width * np.exp(random.normal(0, 0.2, count)) * np.minimum(1.0, 0.5 + here[owners])
    widths *= 1.7 - 1.1 * under  # what lies below fills the gaps
    widths = np.where(strays, random.uniform(0.02, 0.04, count), widths)
    return Grown(strands, under, owner, widths.astype(np.float32))


def _width(style: Style) -> float:
    """Of a lock, cm: tight curls are thin."""
    return float(np.clip(0.8 * style.curl, 0.13, 0.3)) if style.curl > 0.05 else min(0.36, 0.09 + 0.04 * style.top)


def _coils(
    hair: Hair, style: Style, vertices: Floats, normals: Floats, triangles: NDArray[np.int32], density: Floats,
    scale: float, random: np.random.Generator,
) -> Grown:  # fmt: skip
    """Coiled hair that stands on all sides: a solid ball, and on it the coils that are seen."""
    lifted = vertices + normals * hair.lift[:, None]
    count = int(2600 * np.clip(scale / 14, 0.35, 1.0))
    roots, outward, owners = roots_on(lifted, normals, triangles, density, count, random)
    count = len(roots)
    if count == 0:
        return Grown.none()
    place = hair.lift[triangles[owners, 0]] / max(float(hair.lift.max()), 1e-3)
    length = style.coil * np.exp(random.normal(0, 0.3, count)) * (0.35 + 0.65 * place)
    way = outward + random.normal(0, 0.45, (count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True) + 1e-6
    aside = np.cross(way, random.normal(0, 1, (count, 3)))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-6
    third = np.cross(way, aside)
    share = np.linspace(0, 1, _COIL_NODES)
    turn = 2 * np.pi * (np.maximum(style.turns * length, 0.7)[:, None] * share + random.random((count, 1)))
    wide = style.curl * np.minimum(1, 0.3 + 2 * share) * np.exp(random.normal(0, 0.3, (count, 1)))
    strands = (roots - 0.35 * length[:, None] * outward)[:, None] + (way * length[:, None])[:, None] * share[:, None]
    strands = strands + (wide * np.cos(turn))[..., None] * aside[:, None]
    strands = strands + (wide * np.sin(turn))[..., None] * third[:, None]
    under = random.random(count).astype(np.float32)
    widths = random.uniform(0.09, 0.17, count).astype(np.float32)
    return Grown(np.asarray(strands, np.float32), under, np.arange(count) // 20, widths)

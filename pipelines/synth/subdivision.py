"""A coarse mesh of quads → a smooth, finer one, as a matrix: what is true of its vertices is true of every target.

Catmull and Clark, Recursively generated B-spline surfaces on arbitrary topological meshes, 1978; at open edges the
curve's own rule (1/8, 3/4, 1/8).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, vstack

Ints = NDArray[np.int64]


def catmull_clark(quads: Ints, count: int) -> tuple[csr_matrix, Ints]:
    """One step.

    Args:
        quads: (Q, 4) vertex indices, counter-clockwise from outside.
        count: of vertices, of which some may be in no quad (they stay where they are).

    Returns:
        (count + edges + Q, count) weights of the old vertices in the new ones, and the (4·Q, 4) new quads: those of
        quad q are 4·q to 4·q + 3, one a corner.
    """
    number = len(quads)
    ends = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    edges, edge_of, uses = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(number, 4)
    faces = _rows(np.repeat(np.arange(number), 4), quads.reshape(-1), np.full(4 * number, 0.25), (number, count))
    middles = _rows(
        np.repeat(np.arange(len(edges)), 2), edges.reshape(-1), np.full(2 * len(edges), 0.5), (len(edges), count)
    )
    beside = _rows(edge_of.reshape(-1), np.repeat(np.arange(number), 4), np.ones(4 * number), (len(edges), number))
    inner = uses == 2
    edge_points = diags(np.where(inner, 0.5, 1.0)) @ middles + diags(np.where(inner, 0.25, 0.0)) @ (beside @ faces)
    points = _vertex_points(quads, count, edges, inner, faces, middles)
    corner, edge, middle = quads, edge_of + count, np.arange(number)[:, None] + count + len(edges)
    fine = np.stack([corner, edge, np.broadcast_to(middle, (number, 4)), np.roll(edge, 1, axis=1)], axis=2)
    return csr_matrix(vstack([points, edge_points, faces])), np.ascontiguousarray(fine.reshape(-1, 4))


def _vertex_points(
    quads: Ints, count: int, edges: Ints, inner: NDArray[np.bool_], faces: csr_matrix, middles: csr_matrix
) -> csr_matrix:
    number = len(quads)
    around = _rows(quads.reshape(-1), np.repeat(np.arange(number), 4), np.ones(4 * number), (count, number))
    ends = np.repeat(np.arange(len(edges)), 2)
    along = _rows(edges.reshape(-1), ends, np.ones(2 * len(edges)), (count, len(edges)))
    rim = _rows(edges[~inner].reshape(-1), np.repeat(np.flatnonzero(~inner), 2), np.ones(2 * int((~inner).sum())),
                (count, len(edges)))  # fmt: skip
    valence, open_edges = np.asarray(along.sum(axis=1)).ravel(), np.asarray(rim.sum(axis=1)).ravel()
    smooth = (valence > 0) & (open_edges == 0)
    share = np.where(smooth, 1 / np.maximum(valence, 1), 0.0)
    turning = open_edges == 2
    still = np.where(smooth, 1 - 3 * share, np.where(turning, 0.5, 1.0))
    return (
        diags(still)
        + diags(share**2) @ (around @ faces)
        + diags(2 * share**2) @ (along @ middles)
        + diags(np.where(turning, 0.25, 0.0)) @ (rim @ middles)
    )


def spread_corners(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """What lies at the quads' corners (Q, 4, C), such as texture coordinates, at those of the new quads (4·Q, 4, C)."""
    middle = np.broadcast_to(corners.mean(axis=1, keepdims=True), corners.shape)
    after = (corners + np.roll(corners, -1, axis=1)) / 2
    fine = np.stack([corners, after, middle, np.roll(after, 1, axis=1)], axis=2)
    return np.ascontiguousarray(fine.reshape(-1, 4, corners.shape[2]), np.float32)


def _rows(row: Ints, column: Ints, value: NDArray[np.float64], shape: tuple[int, int]) -> csr_matrix:
    return coo_matrix((value, (row, column)), shape=shape).tocsr()

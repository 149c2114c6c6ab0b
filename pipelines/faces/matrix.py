"""Geometry of two dimensions by additions, multiplications and divisions alone: the same bits on every processor.

BLAS, LAPACK and the sines of numpy and libm choose their code by the processor they find, and each rounds in its own
way; IEEE 754 fixes the four operations and the square root to the last bit. A shard is made of these matrices, so two
executors of different make write the same bytes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
_TERMS = 10  # of the series below: at 45° the first that is left out is below 1e-20


def sine_cosine(degrees: float) -> tuple[float, float]:
    """Sine and cosine of an angle; exact at multiples of 90°, elsewhere within 2e-16."""
    if not math.isfinite(degrees):
        return math.nan, math.nan
    rest = math.fmod(degrees, 360.0)  # exact, as is what is taken away below
    quarters = round(rest / 90)
    x = (rest - 90 * quarters) * (math.pi / 180)
    square, sine, cosine = x * x, 1.0, 1.0
    for n in range(_TERMS, 0, -1):  # Taylor's series, from its smallest term
        cosine = 1 - cosine * square / ((2 * n - 1) * (2 * n))
        sine = 1 - sine * square / ((2 * n) * (2 * n + 1))
    sine *= x
    return ((sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine))[quarters % 4]


def direction(x: float, y: float) -> float:
    """The angle of the vector (x, y) in degrees, -180 to 180, as arctan2 has it; within 1e-13."""
    if not math.isfinite(x + y):
        return math.nan
    low, high = sorted((abs(x), abs(y)))
    tangent = low / high if high else 0.0
    for _ in range(3):  # each halves the angle, so that the series below is short
        tangent /= 1 + math.sqrt(1 + tangent * tangent)
    series = 0.0
    for n in range(_TERMS, -1, -1):
        series = 1 / (2 * n + 1) - series * tangent * tangent
    angle = 8 * tangent * series * (180 / math.pi)
    angle = 90 - angle if abs(y) > abs(x) else angle
    return math.copysign(180 - angle if x < 0 else angle, y)


def product(a: NDArray[np.floating], b: NDArray[np.floating]) -> Matrix:
    """a @ b of small matrices (M, N) and (N, K), float64, the terms added from the first to the last."""
    columns = list(zip(*b.tolist(), strict=True))
    rows = []
    for row in a.tolist():
        sums = []
        for column in columns:
            total = 0.0
            for left, right in zip(row, column, strict=True):
                total += left * right
            sums.append(total)
        rows.append(sums)
    return np.array(rows, np.float64)


def square_onto(corners: NDArray[np.floating], half: float) -> Matrix:
    """The projective map of the square (±half, ±half) onto four points (4, 2), in the order (-, -), (+, -), (+, +),
    (-, +). In closed form: P. Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, 2.2.3."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners.tolist()
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    by = 1 / (dx1 * dy2 - dx2 * dy1)
    g, h = (dx3 * dy2 - dx2 * dy3) * by, (dx1 * dy3 - dx3 * dy1) * by
    from_unit = np.array(
        [[x1 - x0 + g * x1, x3 - x0 + h * x3, x0], [y1 - y0 + g * y1, y3 - y0 + h * y3, y0], [g, h, 1.0]]
    )
    matrix = product(from_unit, np.array([[0.5 / half, 0.0, 0.5], [0.0, 0.5 / half, 0.5], [0.0, 0.0, 1.0]]))
    return matrix / matrix[2, 2]


def determinant(matrix: NDArray[np.floating]) -> float:
    """Of a (2, 2) matrix."""
    (a, b), (c, d) = matrix.tolist()
    return float(a * d - b * c)


def inverse(matrix: NDArray[np.floating]) -> Matrix:
    """Of a (3, 3) matrix: its adjugate over its determinant. Raises ZeroDivisionError where there is none."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
    by = 1 / (a * first + b * second + c * third)
    return np.array(
        [
            [first * by, (c * h - b * i) * by, (b * f - c * e) * by],
            [second * by, (a * i - c * g) * by, (c * d - a * f) * by],
            [third * by, (b * g - a * h) * by, (a * e - b * d) * by],
        ],
        np.float64,
    )


def transform(points: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    """Applies a (3, 3) matrix to points (K, 2); NaN stays NaN."""
    x, y = points.astype(np.float64).T
    first, second, third = matrix.tolist()
    moved = np.empty((len(points), 2))
    moved[:, 0] = x * first[0] + y * first[1] + first[2]
    moved[:, 1] = x * second[0] + y * second[1] + second[2]
    if third != [0.0, 0.0, 1.0]:
        moved /= (x * third[0] + y * third[1] + third[2])[:, None]
    return moved

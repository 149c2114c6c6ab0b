"""Points as text: iBUG's `.pts` files and rows of numbers in lists. Shared by the sources whose formats hold them."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.files.text_files import lines_of, read_text

LARGEST = 1e30  # beyond, a number is no place in a picture, and float32 has none for it
Subset = Literal["train", "common", "challenging", "private"]
_HEADER = re.compile(r"[ \t]*(version|n_points)[ \t]*:", re.IGNORECASE)


def read_pts(location: str, count: int) -> NDArray[np.float32]:
    """Reads a `.pts` file, with any system's line ends, also one without braces or without its last line's end.

    iBUG counts pixels from 1, as Matlab does (https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/); here the
    centre of the first pixel is 0.

    Returns:
        (count, 2) float32, source pixels.

    Raises:
        Rejected: names the file, and the line where one is wrong.
    """
    try:
        text = read_text(location)
    except OSError as error:
        raise Rejected(f"{location}: cannot be read ({error})") from error
    body = ("" if _HEADER.match(line) else line.replace("{", " ").replace("}", " ") for line in lines_of(text))
    lines = [(number, line) for number, line in enumerate(body, 1) if line.strip()]
    if len(lines) > 10 * count:
        raise Rejected(f"{location}: {len(lines):,} points, expected {count}")
    points = np.array([parse_numbers(line.split(), 2, f"{location}:{number}") for number, line in lines], np.float32)
    if len(points) != count:
        raise Rejected(f"{location}: {len(points)} points, expected {count}")
    return points - 1


def parse_numbers(words: list[str], count: int, where: str) -> list[float]:
    """`count` finite numbers. Raises Rejected, beginning with `where`."""
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise Rejected(f"{where}: expected {count} numbers, found {' '.join(words)[:60]!r}") from error
    if len(values) != count or not (np.abs(values) < LARGEST).all():
        raise Rejected(f"{where}: expected {count} finite numbers, found {len(values)}: {' '.join(words)[:60]!r}")
    return values

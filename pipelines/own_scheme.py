"""A landmark scheme of one's own, from a TOML file: names, mirror pairs, and little else.

    name = "cat"
    points = ["left_eye", "right_eye", "nose"]
    mirror = [["left_eye", "right_eye"]]        # trade places in a mirrored picture; a point in none stays itself
    eyes = ["left_eye", "right_eye"]            # errors are divided by their distance; default: the first mirror pair
    lines = [["left_eye", "nose", "right_eye"]] # drawn; one that ends where it began is closed

Everything that knows its scheme by name (manifests, checkpoints, ONNX files, tasks on executors) carries such a scheme
whole, as one line of text that is its name: `cat:left_eye,right_eye,nose;mirror=left_eye/right_eye;eyes=…;lines=…`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import SCHEMES, Scheme

if sys.version_info >= (3, 11):  # noqa: UP036 - the base runs on 3.10
    import tomllib
else:
    import tomli as tomllib

KEYS = ("name", "points", "mirror", "eyes", "lines")
_WORD = re.compile(r"[A-Za-z0-9_.\-]+")


def is_own(name: str) -> bool:
    """Whether `name` is a scheme's file, or a scheme written out."""
    return name.endswith(".toml") or ":" in name


@cache
def own_scheme(name: str) -> Scheme:
    """The scheme of a TOML file's path, or of the line that such a scheme is called by.

    Raises:
        FakeitError: names the file, the key, the point, and what would be right.
    """
    if not name.endswith(".toml"):
        return _built(_parsed(name), f"scheme '{name[:40]}'")
    try:
        values = tomllib.loads(Path(name).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FakeitError(f"scheme {name}: cannot be read ({error})") from error
    for key in values:
        if key not in KEYS:
            raise FakeitError(f"scheme {name}: unknown key '{key}'{nearest(key, KEYS)} (known: {', '.join(KEYS)})")
    return _built(values, f"scheme {name}")


def word(name: str) -> str:
    """A point's name as a scheme may have it."""
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", name)


def from_names(name: str, points: Sequence[str], where: str) -> Scheme:
    """A scheme of these names, mirror pairs by "left" and "right" in them; what is no letter or digit becomes `_`."""
    words = [word(point) for point in points]
    pairs = [[word, twin] for word in words if (twin := _twin(word)) != word]
    return _built({"name": name, "points": words, "mirror": [p for p in pairs if p[1] in words]}, where)


def _twin(word: str) -> str:
    for left, right in (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")):
        word = word.replace(left, right)
    return word


def _built(values: dict[str, Any], where: str) -> Scheme:
    name, points = values.get("name"), values.get("points")
    if not isinstance(name, str) or not _WORD.fullmatch(name) or name in SCHEMES:
        raise FakeitError(f"{where}: 'name' is {name!r}; expected a word of its own, none of {', '.join(SCHEMES)}")
    if not isinstance(points, list | tuple) or len(points) < 2 or len(set(map(str, points))) < len(points):
        raise FakeitError(f"{where}: 'points' is {points!r}; expected two names or more, each once")
    for point in points:
        if not isinstance(point, str) or not _WORD.fullmatch(point):
            raise FakeitError(f"{where}: 'points' holds {point!r}; expected a word of letters, digits, _ . -")
    mirror = _groups(values, "mirror", points, where, exactly=2)
    lines = _groups(values, "lines", points, where)
    default = mirror[0] if mirror else (0, len(points) - 1)
    eyes = _groups({"eyes": [values["eyes"]]}, "eyes", points, where, 2)[0] if values.get("eyes") else default
    flip = list(range(len(points)))
    for a, b in mirror:
        if flip[a] != a or flip[b] != b or a == b:
            raise FakeitError(f"{where}: 'mirror' pairs '{points[a]}' or '{points[b]}' twice, or with itself")
        flip[a], flip[b] = b, a
    edges = tuple((line[:-1], True) if len(line) > 2 and line[0] == line[-1] else (line, False) for line in lines)
    whole = tuple(range(len(points)))
    spelt = _spelt(name, tuple(points), mirror, eyes, lines)
    return Scheme(spelt, tuple(points), tuple(flip), (eyes[0],), (eyes[1],), {"all": whole}, edges)


def _groups(
    values: dict[str, Any], key: str, points: Sequence[str], where: str, exactly: int = 0
) -> tuple[tuple[int, ...], ...]:
    """Lists of point names → tuples of indices."""
    found = []
    given = values.get(key, [])
    for group in given if isinstance(given, list | tuple) else [given]:
        if not isinstance(group, list | tuple) or len(group) < 2 or (exactly and len(group) != exactly):
            wanted = f"{exactly} names" if exactly else "names"
            raise FakeitError(f"{where}: '{key}' holds {group!r}; expected lists of {wanted}")
        for point in group:
            if point not in points:
                near = nearest(str(point), points)
                raise FakeitError(f"{where}: '{key}' names '{point}', which is not in 'points'{near}")
        found.append(tuple(points.index(point) for point in group))
    return tuple(found)


def _spelt(
    name: str,
    points: tuple[str, ...],
    mirror: tuple[tuple[int, ...], ...],
    eyes: tuple[int, ...],
    lines: tuple[tuple[int, ...], ...],
) -> str:
    def groups(indices: tuple[tuple[int, ...], ...]) -> str:
        return ",".join("/".join(points[i] for i in group) for group in indices)

    parts = [("mirror", groups(mirror)), ("eyes", groups((eyes,))), ("lines", groups(lines))]
    return f"{name}:{','.join(points)}" + "".join(f";{key}={text}" for key, text in parts if text)


def _parsed(text: str) -> dict[str, Any]:
    """`_spelt`, backwards."""
    head, *rest = text.split(";")
    name, _, points = head.partition(":")
    values: dict[str, Any] = {"name": name, "points": points.split(",")}
    for part in rest:
        key, _, groups = part.partition("=")
        values[key] = [group.split("/") for group in groups.split(",")]
    if "eyes" in values:
        values["eyes"] = values["eyes"][0]
    return values

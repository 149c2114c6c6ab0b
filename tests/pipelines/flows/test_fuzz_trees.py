"""Any tree of names: what is read stays as it was, and outputs, rejections and unmatched files are all there is.

Seeded. Names are those that people, cameras and systems give: endings in any case, accents in either form, dots in
front, links in circles, spaces, commas, `!/`, archives as folders, one stem with several endings.
"""

from __future__ import annotations

import hashlib
import os
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from fakeit.model.inference.batch import Summary, predict
from fakeit.model.inference.filters import apply_filters
from fakeit.model.inference.output_formats import ResultWriter
from fakeit.model.inference.results import Face, ImageResult
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.files.file_names import is_junk, is_picture
from fakeit.pipelines.files.outputs import Sources
from fakeit.pipelines.files.pictures import expand
from fakeit.pipelines.flows.tally import Tally, unmatched_of
from fakeit.pipelines.sources import open_source
from tests.pipelines.files.test_walking import PICTURE, POINTS

STEMS = (
    *("1", "a", "A", "größe", unicodedata.normalize("NFD", "größe"), "team", "team_2", "a b", "x,y", "._1", ".hidden"),
    *("a.png", "z!", "%41", "-n", "two\nlines", "1_seg", "1_ldmks", "~", "c\\d"),
)
ENDINGS = (".jpg", ".png", ".PNG", ".JPG", ".bmp", ".webp", ".heic", ".pts", ".PTS", "_ldmks.txt", ".txt", "", ".gif")
FOLDERS = ("", "", "a", "a/b", "A", "faces.zip", "__MACOSX", "ibug", "größe", ".git", "x,y", "z!/q")
PTS = f"n_points: 68\n{{\n{POINTS}}}".encode()
LDMKS = (POINTS + "1 1\n2 2\n").encode()


class Landmarks:
    """Stands for a model: one face in every picture, in no time."""

    scheme = "five"

    def detect(self, pixels: np.ndarray) -> list[Box]:
        return [Box(2, 2, 30, 30), Box(3, 3, 30, 30)]

    def predict_boxes(self, pixels: np.ndarray, boxes: list[Box]) -> list[Face]:
        return [Face(np.full((5, 2), 9, np.float32), np.ones(5, np.float32), box, "five") for box in boxes]

    def __call__(self, pixels: np.ndarray) -> list[Face]:
        return self.predict_boxes(pixels, self.detect(pixels))


def grow(draw: random.Random, root: Path) -> None:
    root.mkdir()
    for _ in range(draw.randrange(1, 14)):
        folder = root / draw.choice(FOLDERS)
        name = draw.choice(STEMS) + draw.choice(ENDINGS)
        data = PTS if name.lower().endswith(".pts") else LDMKS if name.endswith(".txt") else PICTURE
        if draw.random() < 0.15:
            data = draw.randbytes(draw.randrange(40))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if draw.random() < 0.12:
                to = draw.choice([root, folder, root / "absent", *list(root.rglob("*"))[:3]])
                os.symlink(os.path.relpath(to, folder) if draw.random() < 0.5 else to, folder / name)
            else:
                (folder / name).write_bytes(data)
        except OSError:
            continue  # a name that is taken
    if draw.random() < 0.2:
        with open(os.fsencode(root) + b"/gr\xf6\xdfe.jpg", "wb") as file:
            file.write(PICTURE)


def state(root: Path) -> dict[str, str]:
    """Every file below a folder, links as links."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            found[path] = os.readlink(path) if os.path.islink(path) else "" if os.path.isdir(path) else _hash(path)
    return found


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def files_meant(root: Path) -> int:
    """Pictures that a person would count: by real folders, without what systems left."""
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not is_junk(f)]
        count += sum(not is_junk(n) and is_picture(n) and os.path.isfile(os.path.join(folder, n)) for n in names)
    return count


def check_predict(root: Path, out: Path) -> None:
    try:
        asked = expand([str(root)])
    except FakeitError as error:
        assert "holds no pictures" in str(error) and files_meant(root) == 0
        return
    assert len({p.name for p in asked}) == len(asked) >= files_meant(root)
    summary = Summary()
    sources = Sources(p.location for p in asked)
    results: list[ImageResult] = []
    with ResultWriter(str(out / "pts"), "pts", "five", [p.name for p in asked], sources) as writer:
        for found in predict(Landmarks(), asked, summary, faces=0, draw=out / "drawn"):  # type: ignore[arg-type]
            writer.add(found)
            results.append(found)
    read = [r for r in results if not r.problem]
    assert len(results) == len(asked) == len(read) + summary.unread
    assert len([p for p in (out / "drawn").rglob("*") if p.is_file()]) == len(read)
    assert len([p for p in (out / "pts").rglob("*") if p.is_file()]) == 2 * len(read) == summary.faces
    try:
        lines = list(apply_filters(Landmarks(), asked, lambda pixels, faces: pixels, str(out / "worn")))  # type: ignore[arg-type]
    except FakeitError as error:
        assert not read and "none of" in str(error)
    else:
        assert len([p for p in (out / "worn").rglob("*") if p.is_file()]) == len(read)
        assert len(lines) == len(asked)
    try:  # into the inputs: refused before the first byte, unless no name meets another
        list(predict(Landmarks(), asked, Summary(), draw=root))  # type: ignore[arg-type]
    except FakeitError as error:
        assert "would be destroyed" in str(error)


def check_source(kind: str, root: Path) -> None:
    try:
        samples = open_source(kind, str(root)).samples()
    except FakeitError as error:
        assert str(root) in str(error)
        return
    left = unmatched_of(samples)
    assert len({s.id for s in samples}) == len(samples)
    pictures = sum(u.kind == "pictures without points" for u in left)
    if kind != "face_synthetics":  # whose class maps are pictures to a person, and none to it
        assert len({s.image for s in samples}) + pictures >= files_meant(root)
    Tally(len(samples), len(samples), 0, left).line().encode()


def fuzz(folder: Path, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        draw = random.Random(f"a tree of names {number}")
        root, out = folder / f"in{number}", folder / f"out{number}"
        grow(draw, root)
        before = state(root)
        try:
            for kind in ("folder", "300w", "face_synthetics"):
                check_source(kind, root)
            check_predict(root, out)
        except BaseException as error:
            raise AssertionError(f"tree {number}, kept in {root}: {type(error).__name__}: {error}") from error
        after = {path: what for path, what in state(root).items() if path in before}
        assert after == before, f"tree {number}"


def test_any_tree_of_names(tmp_path: Path) -> None:
    fuzz(tmp_path, 60)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_any_tree_of_names_at_length(tmp_path: Path) -> None:
    fuzz(tmp_path, 2000, 1000)

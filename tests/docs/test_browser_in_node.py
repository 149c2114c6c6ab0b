"""The page's own JavaScript in node, without a browser: rendered faces are found and read as Python does.

onnxruntime-web comes from build/browser, where `make docs` has put it; nothing is fetched here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.inference.results import Face
from fakeit.pipelines.files.image_io import read_image
from tools import browser_page

ROOT = Path(__file__).resolve().parents[2]
FETCHED = ROOT / "build" / "browser"


Found = dict[str, tuple[list[dict[str, Any]], list[Face]]]


def pictures() -> dict[str, tuple[NDArray[np.uint8], LandmarkerConfig]]:
    """Plain; so dark that only the second look finds anything; a large face beside a small one, of which no one size of
    the picture shows both. And how faces are looked for in each."""
    example = read_image(str(ROOT / "docs" / "browser" / "example.jpg"))
    side = example.shape[0]
    both = np.full((1600, 2000, 3), 120, np.uint8)
    both[20:1580, :1560] = cv2.resize(example[:, :side], (1560, 1560), interpolation=cv2.INTER_LINEAR)
    both[100:260, 1700:1860] = cv2.resize(example[:, :side], (160, 160), interpolation=cv2.INTER_AREA)
    usual, fine = LandmarkerConfig(), LandmarkerConfig(detect_side=2000, smallest_face=0.015)
    return {"plain": (example, usual), "dark": (example // 24, usual), "large and small": (both, fine)}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the page and what Python find in each picture, from left to right."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, which is not here (Debian: apt install nodejs)")
    if not all((FETCHED / name).is_file() for name in browser_page.RUNTIME_FILES):
        pytest.skip("needs onnxruntime-web in build/browser, where make docs puts it")
    page = tmp_path_factory.mktemp("node") / "page"
    shutil.copytree(ROOT / "docs" / "browser", page)
    (page / "package.json").write_text('{"type": "module"}')
    (page / "vendor").mkdir()
    for name in browser_page.RUNTIME_FILES:
        shutil.copyfile(FETCHED / name, page / "vendor" / name)
    browser_page.put_networks(page / "vendor")
    asked, expected = [], []
    for name, (pixels, config) in pictures().items():
        file, (height, width) = page / f"{name}.rgba", pixels.shape[:2]
        file.write_bytes(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA).tobytes())
        asked.append({"file": str(file), "width": width, "height": height, "side": config.detect_side})
        if config.smallest_face is not None:
            asked[-1]["smallest"] = config.smallest_face
        expected.append(list(Landmarker.load(browser_page.IN_THE_BROWSER, config)(pixels)))
    (page / "pictures.json").write_text(json.dumps(asked))
    command = [node, str(Path(__file__).with_name("read_in_node.mjs")), str(page), str(page / "pictures.json")]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = [sorted(faces, key=lambda face: face["box"][0]) for faces in json.loads(ran.stdout)]
    known = [sorted(faces, key=lambda face: face.box.x) for faces in expected]
    return dict(zip(pictures(), zip(said, known, strict=True), strict=True))


@pytest.mark.parametrize(("name", "faces"), [("plain", 3), ("dark", 3), ("large and small", 2)])
def test_the_same_faces_are_found(name: str, faces: int, found: Found) -> None:
    ours, theirs = found[name]
    assert len(ours) == len(theirs) == faces
    for face, known in zip(ours, theirs, strict=True):
        assert np.abs(np.array(face["box"]) - known.box.array()).max() < 0.02 * known.box.side


def test_the_same_points_are_read(found: Found) -> None:
    for face, known in zip(*found["plain"], strict=True):
        apart = np.linalg.norm(np.array(face["points"]) - known.points, axis=1) / known.box.side
        assert apart.mean() < 0.002 and apart.max() < 0.01, apart
        assert np.abs(np.array(face["confidence"]) - known.confidence).mean() < 0.03

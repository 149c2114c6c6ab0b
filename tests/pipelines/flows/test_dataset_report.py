"""What people look at before and after a run: the preview of a conf and the page of a dataset."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_dataset import make_dataset

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.flows import dataset_report, preprocess, preview
from fakeit.pipelines.flows.preprocess_config import SourceConfig
from fakeit.pipelines.store import manifest as manifests
from tests.pipelines.flows.test_preprocess import CONFIG, HERE, write_faces


def _pictures(page: str) -> list[np.ndarray]:
    data = [base64.b64decode(code) for code in re.findall(r"base64,([^\"]+)\"", page)]
    return [cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_COLOR) for d in data]


def test_a_dataset_has_a_page_of_its_own(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "faces", 20)
    (folder / "000003.png").write_bytes(b"")
    (folder / "000004_ldmks.txt").write_text("1 2\n")
    made = preprocess.preprocess(CONFIG, str(folder), str(tmp_path / "d"), HERE).manifest
    page = Path(dataset_report.write(str(tmp_path / "d"), seconds=7.0)).read_text()
    assert made.digest in page and "Rejected: 2 (10.00%)" in page and "empty file" in page
    assert f"{made.rows('train'):,}" in page and '"variants": 3' in html.unescape(page)
    assert not re.search(r"(src|href)=.?https?:", page)  # nothing is fetched
    sheet, plots = _pictures(page)
    assert sheet.std() > 20 and plots.std() > 20
    assert manifests.load(str(tmp_path / "d")) == made  # the page is no part of the dataset


@pytest.mark.parametrize(("scheme", "colour", "missing"), [("none", "rgb", 0.0), ("kaggle15", "grey", 0.3)])
def test_pages_of_odd_datasets(tmp_path: Path, scheme: str, colour: str, missing: float) -> None:
    dataset = make_dataset(tmp_path / "d", scheme_name=scheme, colour=colour, missing=missing)
    assert len(_pictures(dataset_report.page(str(dataset), manifests.load(str(dataset)), 0.0))) == 2


def test_a_preview_shows_each_face_and_its_variants(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "faces", 12)
    (folder / "000001.png").write_bytes(b"")  # passed over
    config = replace(CONFIG, crop=CropConfig(size=48))
    place = preview.write(config, str(folder), 3, str(tmp_path / "not" / "there"))
    sheet = cv2.imread(place)
    assert place.endswith("there.preview.png") and sheet.shape == (3 * preview.SIDE, 4 * preview.SIDE, 3)
    tiles = sheet.reshape(3, preview.SIDE, 4, preview.SIDE, 3).transpose(0, 2, 1, 3, 4).reshape(12, -1)
    assert len({tile.tobytes() for tile in tiles}) == 12
    assert not (tmp_path / "not/there").exists()


def test_a_preview_of_nothing_usable_says_why(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "faces", 3)
    config = replace(CONFIG, source=SourceConfig(box="annotation"))
    with pytest.raises(FakeitError, match="every one of 2 faces is rejected.*no box in the annotation"):
        preview.preview(config, str(folder), 2)

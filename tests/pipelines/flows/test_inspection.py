"""What inspection must notice: gaps, duplicates, wrong points, bad files."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.jobs import inspect_data
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.flows.inspection import Finding, Inspection, inspect
from fakeit.pipelines.flows.near_duplicates import bit_count, near_pairs
from fakeit.pipelines.flows.synthesize import synthesize
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.synth.config import SynthesisConfig


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = tmp_path_factory.mktemp("faces")
    here = runners.in_processes(0)
    synthesize(SynthesisConfig(), 14, 96, 1, str(folder), here)
    (folder / "000013.png").write_bytes(b"")
    for ending in (".png", "_ldmks.txt"):
        (folder / f"000012{ending}").write_bytes((folder / f"000003{ending}").read_bytes())
    return inspect(open_source("face_synthetics", str(folder)), here)


def test_it_counts_and_names(inspection: Inspection) -> None:
    text = inspection.text()
    assert "14 samples of scheme face70: 13 good, 1 bad" in text
    assert "000013.png: empty file" in text
    assert "96×96 (13)" in text


def test_it_tells_which_points_are_missing_together() -> None:
    whole = np.random.default_rng(0).uniform(0, 1, (15, 2)).astype(np.float32)
    four, most = whole.copy(), whole.copy()
    four[4:] = np.nan
    most[14] = np.nan
    faces = [*[four] * 5, *[whole] * 3, most]
    found = tuple(Finding(f"{i}", size=(96, 96), points=p, hash=i * 0x0123456789) for i, p in enumerate(faces))
    text = Inspection("kaggle15", found).text()
    names = scheme("kaggle15").names
    assert f"{names[14]} 6" in text and "patterns: 3" in text
    assert f"  5 × 4: {', '.join(names[:4])}\n  3 × all points\n  1 × all but {names[14]}" in text


def test_it_sees_the_copy_and_no_other(inspection: Inspection) -> None:
    assert inspection.duplicates() == [("000003", "000012")]


def test_near_pairs_are_those_of_comparing_each_with_each() -> None:
    random = np.random.default_rng(4)
    hashes = random.integers(0, 1 << 64, 300, np.uint64)
    for index in range(150):  # others, 0 to 6 bits away from one of them
        flips = random.choice(64, int(random.integers(0, 7)), replace=False)
        hashes = np.append(hashes, hashes[index] ^ np.uint64(sum(1 << int(bit) for bit in flips)))
    hashes = random.permutation(hashes)
    firsts = {value: index for index, value in reversed(list(enumerate(hashes.tolist())))}
    wanted = {(firsts[v], i) for i, v in enumerate(hashes.tolist()) if firsts[v] != i}
    for one in firsts.values():
        apart = bit_count(hashes[list(firsts.values())] ^ hashes[one])
        wanted |= {(one, b) for b, bits in zip(firsts.values(), apart, strict=True) if bits <= 4 and one < b}
    assert near_pairs(hashes, 4) == sorted(wanted) and len(wanted) > 80


def test_a_thousand_copies_are_not_half_a_million_pairs() -> None:
    assert near_pairs(np.full(1000, 7, np.uint64), 4) == [(0, other) for other in range(1, 1000)]
    assert near_pairs(np.zeros(0, np.uint64), 4) == []


def test_what_is_kept_of_a_sample_is_no_picture(inspection: Inspection) -> None:
    assert max(len(pickle.dumps(finding)) for finding in inspection.findings) < 1500


def test_it_draws_what_it_says(inspection: Inspection, tmp_path: Path) -> None:
    names = [Path(p).stem for p in inspection.draw(str(tmp_path))]
    assert names == ["contact_sheet", "mean_shape", "heat_map", "outliers"]
    assert all(cv2.imread(str(tmp_path / f"{name}.png")) is not None for name in names)


def test_scrambled_points_stand_out(shared: Path, tmp_path: Path) -> None:
    lines = (shared / "data/youtube_faces_68/keypoints.csv").read_text().splitlines()[:61]
    cells = lines[31].split(",")
    points = np.array(cells[1:], float).reshape(68, 2)[list(scheme("ibug68").flip)]  # the wrong numbering
    lines[31] = ",".join([cells[0], *map(str, points.ravel())])
    (tmp_path / "k.csv").write_text("\n".join(lines))
    folder = str(shared / "data/youtube_faces_68/images")
    source = open_source("folder", folder, scheme="ibug68", points=str(tmp_path / "k.csv"))
    found = inspect(source, runners.in_processes(0))
    worst = found.good[int(np.argmax(found.suspicion()))]
    assert worst.image_id == Path(cells[0]).stem
    assert "doubtful annotations: 1" in found.text() or found.suspicion().max() > 6


def test_options_are_read_as_in_a_conf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = "\n".join(f"{10 + i} {10 + i % 7}" for i in range(68))
    for frame in ("000001", "000002", "000003"):
        write_image(str(tmp_path / "vw" / "001" / f"{frame}.png"), np.zeros((99, 99, 3), np.uint8))
        file = tmp_path / "vw" / "001" / "annot" / f"{frame}.pts"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{{\n{points}\n}}")
    asked = ["300vw", str(tmp_path / "vw"), "--output", str(tmp_path / "drawn"), "--option"]
    inspect_data.main(inspect_data.parser().parse_args([*asked, "every=2"]))
    assert "2 samples of scheme ibug68: 2 good" in capsys.readouterr().out
    with pytest.raises(FakeitError, match="override 'every': expected key=value"):
        inspect_data.main(inspect_data.parser().parse_args([*asked, "every"]))


def test_a_face_of_one_point_is_named(tmp_path: Path) -> None:
    write_image(str(tmp_path / "a.png"), np.zeros((60, 60, 3), np.uint8))
    (tmp_path / "p.csv").write_text("image,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\na.png,10,10,,,,,,,,\n")
    seen = inspect(open_source("folder", str(tmp_path), scheme="five", points="p.csv"), runners.in_processes(0))
    assert "bad: a: 1 points present, a face box needs 2" in seen.text()


def test_a_point_that_no_face_has_is_drawn_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    write_image(str(tmp_path / "a.png"), np.zeros((60, 60, 3), np.uint8))
    (tmp_path / "p.csv").write_text("image,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\na.png,10,10,40,10,30,30,12,40,,\n")
    seen = inspect(open_source("folder", str(tmp_path), scheme="five", points="p.csv"), runners.in_processes(0))
    assert len(seen.draw(str(tmp_path / "out"))) == 4
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_pictures_without_points_can_be_looked_at(tmp_path: Path) -> None:
    for name in "ab":
        write_image(str(tmp_path / "in" / f"{name}.png"), np.full((60, 80, 3), 90, np.uint8))
    seen = inspect(open_source("ffhq", str(tmp_path / "in")), runners.in_processes(0))
    assert "2 samples of scheme none: 2 good, 0 bad" in seen.text() and "a ~ b" in seen.text()
    assert [Path(path).name for path in seen.draw(str(tmp_path / "out"))] == ["contact_sheet.png"]

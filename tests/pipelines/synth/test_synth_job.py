"""jobs/synthesize.py: the layout, resuming, refusing, and the same bytes from Spark and without it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fakeit.pipelines.config import load
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.flows.synthesize import synthesize
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.synth.config import HeadConfig, SynthesisConfig
from fakeit.pipelines.synth.face import render
from fakeit.pipelines.synth.heads import load_head
from fakeit.pipelines.synth.ict_head import import_ict, read_obj

ROOT = Path(__file__).resolve().parents[3]


def _hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("0*"))}


def test_job_writes_the_layout(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/synthesize.py", "--count", "3", "--size", "96", "--workers", "0"]
    done = subprocess.run([*command, "--output", str(tmp_path / "f")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 faces" in done.stdout and "next:" in done.stdout
    source = open_source("face_synthetics", str(tmp_path / "f"))
    samples = source.samples()
    assert [s.id for s in samples] == ["000000", "000001", "000002"]
    assert source.image(samples[0]).shape == (96, 96, 3)
    read = [source.read(sample) for sample in samples]
    assert read[0].landmarks.shape == (70, 2)
    default = load(ROOT / "conf" / "synthesize" / "default.toml", SynthesisConfig)
    faces = [render(index, 1, default, 96) for index in range(3)]
    assert all((r.visibility == f.visibility).all() for r, f in zip(read, faces, strict=True))
    assert {1, 2} == {int(v) for r in read for v in r.visibility}
    (tmp_path / "f/000001_vis.txt").write_text("3\n" * 70)
    with pytest.raises(Rejected, match="000001_vis.txt: expected 70 lines"):
        source.read(samples[1])
    segmentation = cv2.imread(str(tmp_path / "f/000000_seg.png"), cv2.IMREAD_UNCHANGED)
    assert segmentation.shape == (96, 96) and segmentation.dtype == np.uint8


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    here = runners.in_processes(0)
    synthesize(SynthesisConfig(), 4, 64, 1, str(tmp_path / "whole"), here)
    synthesize(SynthesisConfig(), 4, 64, 1, str(tmp_path / "killed"), here)
    before = _hashes(tmp_path / "whole")
    for name in ("000001_ldmks.txt", "000003.png", "000003_seg.png", "000003_ldmks.txt"):
        (tmp_path / "killed" / name).unlink()
    synthesize(SynthesisConfig(), 4, 64, 1, str(tmp_path / "killed"), here)
    assert _hashes(tmp_path / "killed") == before


def test_faces_in_folders_of_a_thousand(tmp_path: Path) -> None:
    """The same bytes as in one folder, read by the source; a folder is of one kind."""
    here, flat, deep = runners.in_processes(0), tmp_path / "flat", tmp_path / "deep"
    synthesize(SynthesisConfig(), 3, 64, 1, str(flat), here, 998)
    synthesize(SynthesisConfig(), 3, 64, 1, str(deep), here, 998, folders=True)
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in deep.glob("000*/*")}
    assert found == _hashes(flat)
    samples = open_source("face_synthetics", str(deep)).samples()
    assert [s.id for s in samples] == ["0000/000998", "0000/000999", "0001/001000"]
    with pytest.raises(FakeitError, match="made with folders True, not False"):
        synthesize(SynthesisConfig(), 3, 64, 1, str(deep), here, 998)


def test_one_folder_one_conf(tmp_path: Path) -> None:
    here = runners.in_processes(0)
    synthesize(SynthesisConfig(), 1, 64, 1, str(tmp_path), here)
    with pytest.raises(FakeitError, match="seed 1, not 2"):
        synthesize(SynthesisConfig(), 1, 64, 2, str(tmp_path), here)
    with pytest.raises(FakeitError, match="at least 1 face"):
        synthesize(SynthesisConfig(), 0, 64, 1, str(tmp_path), here)
    turned = replace(SynthesisConfig(), camera=replace(SynthesisConfig().camera, yaw_sd=1.0))
    with pytest.raises(FakeitError, match=r"made with camera.yaw_sd 17.0, not 1.0; choose another"):  # it said digests
        synthesize(turned, 1, 64, 1, str(tmp_path), here)


def test_a_folder_is_of_one_renderer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = runners.in_processes(0)
    synthesize(SynthesisConfig(), 1, 64, 1, str(tmp_path), here)
    monkeypatch.setattr("fakeit.pipelines.flows.synthesize.renderer_hash", lambda: "newer")
    with pytest.raises(FakeitError, match=r"made with renderer [0-9a-f]{16}, not newer; choose another folder"):
        synthesize(SynthesisConfig(), 2, 64, 1, str(tmp_path), here)
    record = json.loads((tmp_path / "synthesis.json").read_text())
    del record["renderer"]  # as records were before
    (tmp_path / "synthesis.json").write_text(json.dumps(record))
    synthesize(SynthesisConfig(), 2, 64, 1, str(tmp_path), here)


@pytest.mark.parametrize("text", ["{}", '{"digest', "[]", '"conf"'])
def test_a_record_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "synthesis.json").write_text(text)
    with pytest.raises(FakeitError, match="synthesis.json: no record of how faces were made .*; choose another folder"):
        synthesize(SynthesisConfig(), 1, 64, 1, str(tmp_path), runners.in_processes(0))


def test_a_missing_background_does_not_claim_the_folder(tmp_path: Path) -> None:
    """The folder was then "made with" a conf of which it had no face, and the right one was refused."""
    output = tmp_path / "faces"
    wrong = replace(SynthesisConfig(), background=replace(SynthesisConfig().background, folder=str(tmp_path / "no")))
    with pytest.raises(FakeitError, match="no such folder"):
        synthesize(wrong, 1, 64, 1, str(output), runners.in_processes(0))
    assert not output.exists()


@pytest.mark.spark
def test_spark_renders_the_same_bytes(tmp_path: Path, spark: Any) -> None:
    synthesize(SynthesisConfig(), 3, 64, 1, str(tmp_path / "a"), runners.in_processes(0))
    synthesize(SynthesisConfig(), 3, 64, 1, str(tmp_path / "b"), runners.on_spark(spark), aside=True)
    assert _hashes(tmp_path / "a") == _hashes(tmp_path / "b")


def test_import_ict_from_its_checkout(shared: Path, tmp_path: Path) -> None:
    """Four files of the original checkout are here: the neutral mesh, one identity, one expression, the indices."""
    packed = shared / "data/ict_face/ict_face.npz"
    assert import_ict(str(shared / "data/ict_face/FaceXModel"), str(tmp_path / "ict.npz")) == 2
    mine, theirs = np.load(tmp_path / "ict.npz"), np.load(packed)
    assert np.allclose(mine["V0"], theirs["V0"], atol=1e-4)
    assert np.array_equal(mine["F"], theirs["F"])
    jaw = list(theirs["EXN"]).index("jawOpen")
    assert np.allclose(mine["EX"][0], theirs["EX"][jaw], atol=5e-3)
    head = load_head("ict", str(tmp_path / "ict.npz"))
    assert np.array_equal(head.landmarks, load_head("ict", str(packed)).landmarks)


def test_a_broken_obj_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.obj").write_text("v 1 2 3\nv 1 x 3\n")
    with pytest.raises(FakeitError, match="bad.obj:2"):
        read_obj(tmp_path / "bad.obj")
    with pytest.raises(FakeitError, match="vertex_indices.json"):
        import_ict(str(tmp_path), str(tmp_path / "o.npz"))


def test_what_systems_leave_is_no_background(tmp_path: Path) -> None:
    write_image(str(tmp_path / "wall.png"), np.full((40, 50, 3), 120, np.uint8))
    for number in range(9):
        (tmp_path / f"._{number}.jpg").write_bytes(b"left behind by macOS")
    config = replace(SynthesisConfig(), head=HeadConfig("builtin"))
    config = replace(config, background=replace(config.background, folder=str(tmp_path), others=0.0))
    assert all(render(index, 1, config, 64).image.shape == (64, 64, 3) for index in range(6))

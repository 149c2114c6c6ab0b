"""TFLite: the file says what the ONNX file says, its recipe lies beside it; what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakeit.jobs import export as job
from fakeit.model import tflite
from fakeit.model.inference.backends import OnnxBackend, metadata_from_json
from fakeit.model.tracking import catalogue
from fakeit.pipelines.errors import FakeitError


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "is_installed", lambda module: False)
    arguments = job.parser().parse_args(["--model", "box", "--output", str(tmp_path / "face.tflite")])
    with pytest.raises(FakeitError, match="needs onnx2tf and ai-edge-litert: pip install onnx2tf ai-edge-litert"):
        job.main(arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [["--model", "best.pt"], ["--model", "box", "--precision", "int8"]])
def test_what_is_not_made_into_tflite_is_refused(more: list[str]) -> None:
    with pytest.raises(FakeitError, match="TFLite is made of an ONNX file in float32"):
        job.main(job.parser().parse_args([*more, "--output", "face.tflite"]))


def test_other_points_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose points are half a pixel off, as a stand-in for a converter that got an operator wrong."""
    box = OnnxBackend(catalogue.the_box())
    monkeypatch.setattr(tflite, "is_installed", lambda module: True)
    monkeypatch.setattr(tflite, "_convert", lambda source, folder: folder / "made")
    monkeypatch.setattr(tflite, "run", lambda path, crops: box.run(crops)[0] + 0.5 / box.metadata.crop.size)
    with pytest.raises(FakeitError, match=r"pixels from .*'s points, at most 0.001 may be"):
        tflite.to_tflite(catalogue.the_box(), tmp_path / "face.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_box_in_tflite(tmp_path: Path) -> None:
    pytest.importorskip("onnx2tf")
    pytest.importorskip("ai_edge_litert")
    made = tflite.to_tflite(catalogue.the_box(), tmp_path / "face.tflite")
    assert made.parity <= tflite.PARITY and made.bytes == made.path.stat().st_size
    told = metadata_from_json((tmp_path / "face.tflite.json").read_text(), "face.tflite.json")
    assert told == OnnxBackend(catalogue.the_box()).metadata and json.loads((tmp_path / "face.tflite.json").read_text())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["face.tflite", "face.tflite.json"]

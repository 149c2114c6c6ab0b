"""The web demo: answers good and bad uploads, and its page stands in a real browser."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fakeit.model.inference import web
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.draw import write_image
from tests.pattern_face import Finder, Reader, picture, placed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Landmarker(Reader(), LandmarkerConfig(detector="test"))
    made._detector = Finder()
    monkeypatch.setattr(web, "_landmarker", lambda file, detector, adapter: made)


@pytest.mark.parametrize("what", [web.POINTS, "glasses", "blur"])
def test_an_upload_is_answered_with_a_picture_and_timing(what: str, patched: None, tmp_path: Path) -> None:
    image, _ = picture([placed(90, 80, 1.5)], 400, 360)
    write_image(str(tmp_path / "a.png"), image)
    drawn, line = web.show(str(tmp_path / "a.png"), "m.onnx", "test", what)
    assert drawn.shape == image.shape and (drawn != image).any()
    assert line.startswith("1 face in 400×360 pixels") and "ms" in line


def test_bad_uploads_get_a_clear_line(patched: None, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(Rejected, match="bad.jpg"):
        web.show(str(tmp_path / "bad.jpg"), "m.onnx", "test")
    with pytest.raises(FakeitError, match="choose a picture"):
        web.show(None, "m.onnx", "test")
    write_image(str(tmp_path / "none.png"), np.zeros((60, 60, 3), np.uint8))
    assert web.show(str(tmp_path / "none.png"), "m.onnx", "test")[1].startswith("no face found")


def test_models_to_pick_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1" / "best.pt").touch()
    (tmp_path / "a.onnx").touch()
    assert set(web.known_models([str(tmp_path)])) - {web.THE_BOX} == {"a.onnx", "run1/best.pt"}
    monkeypatch.setattr(web, "BOX", tmp_path / "absent")
    with pytest.raises(FakeitError, match="no model to show"):
        web.known_models([])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the web demo's extra is not installed")
    from fakeit.model.export import export
    from fakeit.model.inference.backends import ModelMetadata
    from fakeit.model.networks import NetworkConfig, build
    from fakeit.pipelines.faces.crop import CropConfig

    network = build(NetworkConfig(name="lenet"), 70, 3, 64)
    export(network, ModelMetadata("face70", CropConfig(size=64), "lenet"), tmp_path / "tiny.onnx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "jobs" / "demo_web.py"), "--models", str(tmp_path), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            if process.poll() is not None:
                pytest.fail(f"the demo ended: {process.stderr.read() if process.stderr else ''}")
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.slow
def test_the_page_stands_in_a_browser_and_answers(server: str, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(server, verbose=False)
    image, _ = picture([placed(90, 80, 1.5)], 400, 360)
    write_image(str(tmp_path / "a.png"), image)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    choices = ("tiny.onnx", "haar", "points")
    _, line = client.predict(handle_file(str(tmp_path / "a.png")), *choices, api_name="/find")
    assert "400×360 pixels" in line
    _, line = client.predict(handle_file(str(tmp_path / "bad.jpg")), *choices, api_name="/find")
    assert line.startswith("⚠") and "damaged" in line or "not an image" in line
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium): the page itself was not looked at")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    made = subprocess.run([browser, *flags, server], capture_output=True, text=True, timeout=120)
    for wanted in ("Fakeit", "A picture", "Find faces", "mtcnn", "tiny.onnx"):
        assert wanted in made.stdout

"""The web demo as it is served: by its API, by an attacker, in a real browser with a camera, and after its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import browser

from fakeit.pipelines.faces.draw import write_image
from tests.pattern_face import picture, placed

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "model" / "inference" / "web" / "examples"
CHOICES = ("tiny.onnx", "the model's own", "haar", "points")


@dataclass
class Served:
    address: str
    temporary: Path
    process: subprocess.Popen[str]

    def left(self) -> list[Path]:
        """Files in the private folder."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="the web demo's extra is not installed")
    from fakeit.model.export import export
    from fakeit.model.inference.backends import ModelMetadata
    from fakeit.model.networks import NetworkConfig, build
    from fakeit.pipelines.faces.crop import CropConfig

    folder = tmp_path_factory.mktemp("web")
    network = build(NetworkConfig(name="lenet"), 70, 3, 64)
    (folder / "models").mkdir()
    export(network, ModelMetadata("face70", CropConfig(size=64), "lenet"), folder / "models" / "tiny.onnx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = folder / "tmp"
    temporary.mkdir()
    job = [sys.executable, str(ROOT / "jobs" / "demo_web.py")]
    command = [*job, "--models", str(folder / "models"), "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(400):
            if process.poll() is not None:
                pytest.fail(f"the demo ended: {process.stderr.read() if process.stderr else ''}")
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield Served(address, temporary, process)
    finally:
        process.terminate()
        process.wait(30)
    assert not list(temporary.iterdir()), "nothing is left when the server ends"


@pytest.mark.slow
def test_a_program_s_upload_is_answered_and_removed_at_once(served: Served, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(served.address, verbose=False)
    image, _ = picture([placed(90, 80, 1.5)], 400, 360)
    write_image(str(tmp_path / "a_picture_of_me.png"), image)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    answer: Any = client.predict(handle_file(str(tmp_path / "a_picture_of_me.png")), *CHOICES, api_name="/find")
    assert "400×360 pixels" in answer["line"]
    answer = client.predict(handle_file(str(tmp_path / "bad.jpg")), *CHOICES, api_name="/find")
    assert answer["line"].startswith("⚠ this file") and answer["pictures"] == []
    answer = client.predict(handle_file(str(tmp_path / "bad.jpg")), "/etc/passwd", *CHOICES[1:], api_name="/find")
    assert "no model called" in answer["line"]
    assert not [path for path in served.left() if path.name in ("a_picture_of_me.png", "bad.jpg")]
    (folder,) = served.temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("headers", [{"Host": "rebound.example"}, {"Origin": "https://evil.example"}])
@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "gradio_api/upload", "gradio_api/queue/join"])
def test_another_site_gets_nothing(headers: dict[str, str], path: str, served: Served) -> None:
    request = urllib.request.Request(served.address + path, headers=headers, data=b"{}" if "api/" in path else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403


@pytest.mark.slow
def test_the_page_in_a_browser(served: Served, tmp_path: Path) -> None:
    with browser() as page:
        page.open(served.address)
        page.element("#find")
        line = "#line textarea"

        def said(*wanted: str) -> bool:
            return any(word in page.text(line) for word in wanted)

        page.click("#find")
        page.until(lambda: said("Choose a picture first"))
        # An example, with the model in the box: a face, its row, its files.
        page.run("document.querySelector('#examples button img').click()")
        page.until(lambda: said("in 320×320 pixels"), 120)
        page.until(lambda: page.run("return document.querySelector('#faces img')?.naturalWidth") == 320)
        assert page.element("#legend") and page.element("#downloads")
        files = page.text("#downloads").replace("\n", "")
        assert "points.json" in files and "points.pts" in files
        labels = page.run("return [...document.querySelectorAll('button')].map(b => b.ariaLabel + ' ' + b.title)")
        assert not [label for label in labels if "share" in label.lower()]
        # A bad file, in clear words.
        (tmp_path / "bad.jpg").write_bytes(b"no picture")
        page.send("#upload input[type=file]", str(tmp_path / "bad.jpg"))
        page.until(lambda: said("⚠ this file"))
        # The camera: its picture is the one that 'Find faces' asks about.
        page.run("[...document.querySelectorAll('button[role=tab]')].find(e => e.innerText == 'Camera').click()")
        page.until(lambda: page.run(_CLICK, "Webcam"))
        page.until(lambda: page.run("return document.querySelector('#camera video')?.videoWidth > 0"))
        page.until(lambda: page.run(_CAPTURE))
        page.until(lambda: said("no face found in", "1 face in"))
        before = page.text(line)
        page.click("#find")
        time.sleep(3)
        assert not said("Choose") and page.text(line).split(":")[0] == before.split(":")[0]
        # A phone: nothing is wider than the screen; and dark.
        page.resize(390, 844)
        page.run("[...document.querySelectorAll('button[role=tab]')].find(e => e.innerText == 'Picture').click()")
        page.until(lambda: page.run("return document.documentElement.scrollWidth <= window.innerWidth"))
        dark = "return document.body.classList.contains('dark')"
        before_click = page.run(dark)
        page.click("#dark")
        page.until(lambda: page.run(dark) != before_click)


_CLICK = """
const button = [...document.querySelectorAll('#camera button')].find(e => e.innerText.includes(arguments[0]));
button?.click();
return Boolean(button);"""
_CAPTURE = """
const button = document.querySelector('#camera button[aria-label="capture photo"]');
button?.click();
return Boolean(button);"""

"""The page in the browser, in a headless Chromium: the same points as in Python, a camera, and nothing that leaves."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.model.inference.landmarker import Landmarker
from tests.chromium import Chromium

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
DRAG = """([x, y, w, h]) => {
    const canvas = document.getElementById('canvas'), shown = canvas.getBoundingClientRect();
    const at = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
        clientX: shown.left + x * shown.width / canvas.width, clientY: shown.top + y * shown.height / canvas.height }));
    canvas.setPointerCapture = () => {};
    document.body.dataset.state = 'drawing';
    at('pointerdown', x, y);
    at('pointermove', x + w, y + h);
    at('pointerup', x + w, y + h);
}"""
CHOOSE = """() => {
    document.body.dataset.state = '';
    const carried = new DataTransfer(), input = document.getElementById('file');
    carried.items.add(new File(['no'], 'notes.txt'));
    input.files = carried.files;
    input.dispatchEvent(new Event('change'));
}"""
SEND = "(url) => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'}).then(() => 'sent', () => 'refused')"
STATE = "document.body && document.body.dataset.state"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Stranger(Quiet):
    """Another origin, which takes whatever it is sent and remembers that it came."""

    came: list[str] = []

    def do_POST(self) -> None:
        self.came.append(self.path)
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def stranger() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page with its networks, served by what Python brings."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "docs" / "browser", folder / "browser")
    if (ROOT / "build" / "browser").is_dir():  # what `make docs` has fetched need not be fetched again
        shutil.copytree(ROOT / "build" / "browser", folder / "browser" / "vendor")
    command = [sys.executable, "tools/browser_page.py", str(folder / "browser" / "vendor")]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "npm" in made.stderr:
        pytest.skip(f"needs onnxruntime-web: {made.stderr.strip()}")
    assert made.returncode == 0, made.stderr
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/browser/"
    server.shutdown()


def test_the_same_points_as_in_python(page: str, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile") as browser:
        browser.open(f"{page}#example")
        browser.wait(STATE, "found")
        found = json.loads(browser.evaluate("fakeit.json()"))
        before = len(browser.requests)
        # A box that somebody draws around the first face: that one alone is read.
        box = found["faces"][0]["box"]
        browser.evaluate(f"({DRAG})({json.dumps(box)})")
        browser.wait(STATE, "found")
        drawn = json.loads(browser.evaluate("fakeit.json()"))["faces"]
        assert len(drawn) == 1 and np.abs(np.subtract(drawn[0]["points"], found["faces"][0]["points"])).max() < 4
        assert browser.requests[before:] == []  # reading a picture asks nobody
        own = ("GET " + page.removesuffix("browser/"), "GET blob:", "GET data:")
        assert [request for request in browser.requests if not request.startswith(own)] == []

    expected = sorted(Landmarker.load("nano")(str(ROOT / "docs/browser/example.jpg")), key=lambda f: f.points[0, 0])
    faces = sorted(found["faces"], key=lambda f: f["points"][0][0])
    assert found["scheme"] == "face70" and len(faces) == len(expected) == 3
    for ours, theirs in zip(faces, expected, strict=True):
        apart = np.linalg.norm(np.array(ours["points"]) - theirs.points, axis=1) / theirs.box.side
        assert apart.mean() < 0.002 and apart.max() < 0.01, apart  # shares of the box's side
        assert np.abs(np.array(ours["confidence"]) - theirs.confidence).mean() < 0.03


def test_a_camera_is_followed(page: str, tmp_path: Path) -> None:
    whole = cv2.imread(str(ROOT / "docs/browser/example.jpg"))
    face = whole[:, 2 * whole.shape[0] :]
    with (tmp_path / "camera.mjpeg").open("wb") as film:
        for frame in range(40):
            left = 120 + 40 * np.sin(frame / 40 * 2 * np.pi)
            move = np.array([[1, 0, left], [0, 1, 40]], np.float32)
            film.write(cv2.imencode(".jpg", cv2.warpAffine(face, move, (640, 480)))[1].tobytes())
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with Chromium(tmp_path / "profile", *fake, f"--use-file-for-fake-video-capture={tmp_path}/camera.mjpeg") as browser:
        browser.open(f"{page}#camera")
        browser.wait(STATE, "following")
        places = []
        for _ in range(20):
            faces = json.loads(browser.evaluate("new Promise(r => setTimeout(() => r(fakeit.json()), 100))"))["faces"]
            places += [np.mean(faces[0]["points"], axis=0)[0]] if len(faces) == 1 else []
        assert len(places) > 15 and np.ptp(places) > 20  # one face, that moves


def test_a_camera_that_is_refused_and_a_text_are_told(page: str, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile", "--deny-permission-prompts") as browser:
        browser.open(f"{page}#camera")
        browser.wait(STATE, "refused")
        assert "No camera" in browser.evaluate("document.getElementById('status').textContent")
        browser.evaluate(f"({CHOOSE})()")
        browser.wait(STATE, "refused")
        assert "notes.txt is not a picture" in browser.evaluate("document.getElementById('status').textContent")


def test_nothing_can_be_sent_elsewhere(page: str, stranger: str, tmp_path: Path) -> None:
    """The page's policy, not its good manners: even a script in it cannot."""
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page.replace("browser/", "browser/page.css"))  # a document without the policy: it can
        browser.wait("document.readyState", "complete")
        assert browser.evaluate(f"({SEND})('{stranger}without')") == "sent"
        browser.open(page)
        browser.wait(STATE, "ready")
        assert browser.evaluate(f"({SEND})('{stranger}with')") == "refused"
    assert Stranger.came == ["/without"]

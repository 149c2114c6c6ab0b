"""Chromium without a window, driven through chromedriver's own protocol (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name of a reference to an element


class Browser:
    def __init__(self, address: str, arguments: tuple[str, ...]) -> None:
        self._base = address
        options = {"binary": shutil.which("chromium") or shutil.which("google-chrome"), "args": list(arguments)}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._base += (
            "/session/" + self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        )

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        body = None if content is None and method == "GET" else json.dumps(content or {}).encode()
        request = urllib.request.Request(self._base + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise LookupError(json.load(error)["value"]["message"]) from error

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that JavaScript `return`s."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def element(self, css: str, wait_s: float = 30) -> str:
        """A reference to the first element that fits, once there is one."""
        return str(
            self.until(lambda: self._call("POST", "/element", {"using": "css selector", "value": css}), wait_s)[
                _ELEMENT
            ]
        )

    def click(self, css: str) -> None:
        self.element(css)
        self.run("document.querySelector(arguments[0]).click()", css)  # wherever a page in motion has it now

    def send(self, css: str, text: str) -> None:
        """Types; into an input of type file: chooses the file."""
        self._call("POST", f"/element/{self.element(css)}/value", {"text": text})

    def text(self, css: str) -> str:
        return str(
            self.run("return (e => e ? (e.value ?? e.innerText) : '')(document.querySelector(arguments[0]))", css)
        )

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def screenshot(self, file: str | Path) -> None:
        Path(file).write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def until(self, found: Any, wait_s: float = 60) -> Any:
        """What `found()` gives once it is truthy and does not raise LookupError."""
        end = time.monotonic() + wait_s
        while True:
            try:
                value = found()
                if value:
                    return value
            except LookupError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not within {wait_s:g} s; the page says: {self.text('body')[-1500:]}")
            time.sleep(0.2)

    def close(self) -> None:
        self._call("DELETE", "")


@contextmanager
def browser(*more: str) -> Iterator[Browser]:
    """A fresh Chromium with a camera that shows a test pattern; skips the test where there is none."""
    driver = shutil.which("chromedriver")
    if not driver or not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no Chromium with its driver here (Debian: apt-get install chromium chromium-driver)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    arguments = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1100"),
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--no-proxy-server", *more),
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        opened = Browser(f"http://127.0.0.1:{port}", arguments)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.terminate()
        process.wait(20)

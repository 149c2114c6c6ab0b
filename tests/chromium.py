"""A headless Chromium under test, spoken to over two pipes: no driver to install, no port to take."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """`with Chromium(profile) as browser: browser.open(url)`; https://chromedevtools.github.io/devtools-protocol/"""

    def __init__(self, profile: Path, *options: str) -> None:
        if PROGRAM is None:
            pytest.skip("needs Chromium, which is not here")
        self.requests: list[str] = []
        self._number = 0
        self._rest = b""
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        fixed = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")
        command = [PROGRAM, *fixed, f"--user-data-dir={profile}", *options, "about:blank"]
        # It reads file descriptor 3 and writes to 4, whatever ours are called.
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, *command], pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.call("Network.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command to the page."""
        return self._call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """What JavaScript makes of an expression in the page; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def wait(self, expression: str, wanted: object, seconds: float = 60) -> None:
        """Until an expression is what is wanted."""
        ends, now = time.monotonic() + seconds, None
        while time.monotonic() < ends:
            now = self.evaluate(expression)
            if now == wanted:
                return
            time.sleep(0.1)
        pytest.fail(f"{expression} is {now!r} after {seconds} s, not {wanted!r}")

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._write, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                part = os.read(self._read, 1 << 16)
                if not part:
                    raise RuntimeError("Chromium has ended")
                self._rest += part
            raw, self._rest = self._rest.split(b"\0", 1)
            said = json.loads(raw)
            if said.get("method") == "Network.requestWillBeSent":
                self.requests.append(f"{said['params']['request']['method']} {said['params']['request']['url']}")
            if said.get("id") == self._number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']['message']}")
                return dict(said["result"])

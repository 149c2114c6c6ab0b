"""Where uploads and answers lie: a folder that nobody else reads, emptied as it ages, gone when the server ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path


class PrivateFolder:
    """A new folder of mode 0700. gradio and everything that makes temporary files is sent there.

    Args:
        keep_s: seconds after which a file is removed, used or not.
        sweep_s: seconds between looks.
    """

    def __init__(self, keep_s: float = 600, sweep_s: float = 30) -> None:
        self.keep_s, self.sweep_s = keep_s, sweep_s
        self.path = Path(tempfile.mkdtemp(prefix="fakeit-web-")).resolve()
        os.environ["GRADIO_TEMP_DIR"] = os.environ["TMPDIR"] = str(self.path)
        tempfile.tempdir = str(self.path)
        self._closed = threading.Event()
        atexit.register(self.close)
        threading.Thread(target=self._sweep_on, daemon=True).start()

    @property
    def promise(self) -> str:
        """What the page says about it."""
        return (
            "What you choose is sent to the computer that runs this page and to no other. It is removed there when you "
            f"choose something else, after {self.keep_s / 60:g} minutes at the latest, and when the server ends."
        )

    def make(self) -> str:
        """A new folder in it, for one answer."""
        return tempfile.mkdtemp(prefix="answer-", dir=self.path)

    def forget(self, file: str) -> None:
        """Removes a file that lies in here, with the folder that gradio made for it; others are left alone."""
        place = Path(file).resolve() if file else self.path
        if place != self.path and place.is_relative_to(self.path):
            place.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty, or the folder itself
                place.parent.rmdir()

    def sweep(self) -> None:
        """Removes what is older than `keep_s`."""
        oldest = time.time() - self.keep_s
        for parent, folders, files in os.walk(self.path, topdown=False):
            for name in files:
                with contextlib.suppress(OSError):
                    file = Path(parent, name)
                    if file.lstat().st_mtime < oldest:
                        file.unlink()
            for name in folders:
                with contextlib.suppress(OSError):  # not empty
                    folder = Path(parent, name)
                    if folder.lstat().st_mtime < oldest:
                        folder.rmdir()

    def _sweep_on(self) -> None:
        while not self._closed.wait(self.sweep_s):
            self.sweep()

    def close(self) -> None:
        self._closed.set()
        shutil.rmtree(self.path, ignore_errors=True)

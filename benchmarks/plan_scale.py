#!/usr/bin/env python
"""What a driver needs to plan a dataset of 0.1, 1 and 10 million faces: seconds and memory, from a folder to its tasks.

Nothing lies on a disk: names are given by a stand-in for `os.scandir`, a thousand faces a folder with points and
visibility beside each (three files a face), since 30 million real files would measure the file system. What is measured
is the driver's own work: names, matching, hashing, splitting, sorting, and pickling every task as Spark does.
Each size runs in a process of its own. `--real` writes empty faces to /dev/shm instead. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.pipelines.config import load
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks, straddling
from fakeit.pipelines.sources import open_source
from tests.peak_memory import peak_memory

ENDINGS = (".png", "_ldmks.txt", "_vis.txt")
CONF = Path(__file__).resolve().parent.parent / "conf" / "preprocess" / "face_synthetics.toml"


class Entry:
    """What os.scandir would give."""

    __slots__ = ("folder", "name")

    def __init__(self, name: str, folder: bool) -> None:
        self.name, self.folder = name, folder

    def is_dir(self, follow_symlinks: bool = True) -> bool:
        return self.folder

    def is_file(self, follow_symlinks: bool = True) -> bool:
        return not self.folder

    def is_symlink(self) -> bool:
        return False


class Folders:
    """A root with `faces` faces, a thousand a folder."""

    def __init__(self, root: str, faces: int) -> None:
        self.root, self.faces, self.others = root, faces, os.scandir

    def __call__(self, folder: Any) -> Any:
        if not str(folder).startswith(self.root):
            return self.others(folder)
        if folder == self.root:
            return iter([Entry(f"{n:05d}", True) for n in range(-(-self.faces // 1000))])
        first = int(os.path.basename(folder)) * 1000
        numbers = range(first, min(first + 1000, self.faces))
        return iter([Entry(f"{n:08d}{ending}", False) for n in numbers for ending in ENDINGS])


def measure(faces: int, real: bool) -> dict[str, float]:
    """The whole plan in this process."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as root:
        scandir = os.scandir
        if real:
            for number in range(faces):
                folder = Path(root, f"{number // 1000:05d}")
                if number % 1000 == 0:
                    folder.mkdir()
                for ending in ENDINGS:
                    os.close(os.open(folder / f"{number:08d}{ending}", os.O_CREAT))
        else:
            os.scandir = Folders(root, faces)  # type: ignore[assignment]
        before = peak_memory()
        config, wall, work = load(CONF, PreprocessConfig, []), time.monotonic(), time.process_time()
        source = open_source("face_synthetics", root)
        samples = source.samples()
        listed = time.monotonic() - wall
        tasks = plan_tasks(samples, source, config)
        assert not straddling(tasks)
        planned = time.monotonic() - wall
        shipped = sum(len(pickle.dumps(task)) for task in tasks)
        peak = peak_memory()
        assert len(samples) == faces
        os.scandir = scandir
        return {
            "faces": faces, "tasks": len(tasks), "listed_s": round(listed, 1), "planned_s": round(planned, 1),
            "pickled_s": round(time.monotonic() - wall, 1), "processor_s": round(time.process_time() - work, 1),
            "imports_mb": before >> 20, "peak_mb": peak >> 20, "tasks_mb": round(shipped / 1e6, 1),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--real", action="store_true", help="files that are there, empty, in /dev/shm")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one, given.real)))
        return
    rows = []
    for faces in given.faces:
        command = [sys.executable, __file__, "--one", str(faces), *(["--real"] if given.real else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    print(json.dumps({"plan_scale": rows}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python
"""What the page docs/browser needs beside itself: the networks, what they are to be fed, and onnxruntime's WebAssembly.

    python tools/browser_page.py FOLDER [--diagrams FOLDER]    # `make docs` says so; FOLDER becomes the page's vendor/

These are 16 MB that are either in the repository elsewhere or on npm, so they are put together here and not committed;
so is mermaid, which draws the documentation's diagrams and would else come from another server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fakeit.jobs.cli import Parser, run  # noqa: E402
from fakeit.model.tracking import catalogue  # noqa: E402

RUNTIME, DIAGRAMS = "onnxruntime-web@1.30.0", "mermaid@11.12.0"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
IN_THE_BROWSER = "nano"  # a name of `fakeit models`
NETWORKS = {
    "landmarks": catalogue.models()[IN_THE_BROWSER].path,
    "yunet": ROOT / "pipelines" / "faces" / "yunet.onnx",
}


def main(arguments: argparse.Namespace) -> None:
    from fakeit.pipelines.errors import FakeitError

    target = Path(arguments.folder)
    target.mkdir(parents=True, exist_ok=True)
    missing = [str(path.relative_to(ROOT)) for path in NETWORKS.values() if not path.is_file()]
    if missing:
        raise FakeitError(f"{', '.join(missing)}: not in this checkout; the page cannot find faces without")
    fetch(RUNTIME, RUNTIME_FILES, target)
    if arguments.diagrams:
        fetch(DIAGRAMS, ("mermaid.min.js",), Path(arguments.diagrams))
    put_networks(target)
    print(f"{target}: {sum(path.stat().st_size for path in target.iterdir()) / 1e6:.0f} MB for the page in the browser")


def put_networks(target: Path) -> None:
    """The networks and models.json into a folder."""
    for path in NETWORKS.values():
        shutil.copyfile(path, target / path.name)
    (target / "models.json").write_text(json.dumps(description()) + "\n")


def description() -> dict[str, Any]:
    """What the page reads faces by: the crop, the detector's boxes and their limits, each from where Python has it."""
    from fakeit.model.inference import backends, crop_reader
    from fakeit.model.inference.landmarker import LandmarkerConfig
    from fakeit.pipelines.faces import yunet
    from fakeit.pipelines.faces.box_fit import box_fit
    from fakeit.pipelines.faces.crop import SMALLEST
    from fakeit.pipelines.faces.detect import ROOM, Yunet
    from fakeit.pipelines.landmarks import scheme

    about, usual, finder = backends.open_backend(NETWORKS["landmarks"]).metadata, LandmarkerConfig(), Yunet()
    return {
        "files": {name: path.name for name, path in NETWORKS.items()},
        "scheme": about.scheme,
        "crop": {"size": about.crop.size, "margin": about.crop.margin, "smallest": SMALLEST},
        "box_fit": asdict(box_fit("yunet", about.scheme)),
        "sigma_fit": asdict(about.sigma_fit),
        "near": backends.NEAR,
        "edges": scheme(about.scheme).edges,
        "eyes": [scheme(about.scheme).left_eye, scheme(about.scheme).right_eye],
        "detect_side": usual.detect_side,
        "upright": {"degrees": usual.upright, "passes": crop_reader.UPRIGHT_PASSES},
        "yunet": {
            "strides": yunet.STRIDES,
            "least": finder.LEAST,
            "most": finder.MOST,
            "step": finder.STEP,
            "room": ROOM,
            "smallest": finder.smallest,
            "threshold": finder.threshold,
            "overlap": yunet.OVERLAP,
        },
    }


def fetch(package: str, names: tuple[str, ...], target: Path) -> None:
    """Takes files that `target` lacks out of an npm package's dist/; npm checks the package's hash."""
    from fakeit.pipelines.errors import FakeitError

    target.mkdir(parents=True, exist_ok=True)
    if all((target / name).is_file() for name in names):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise FakeitError(f"npm is missing; it brings {package} (Debian: apt install npm)")
    packed = subprocess.run([npm, "pack", "--silent", package], cwd=target, capture_output=True, text=True)
    if packed.returncode:
        reason = (packed.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FakeitError(f"npm pack {package} failed: {reason}")
    archive = target / packed.stdout.split()[-1]
    with tarfile.open(archive) as packed_files:
        for name in names:
            member = packed_files.extractfile(f"package/dist/{name}")
            assert member is not None
            temporary = target / f".{name}"
            temporary.write_bytes(member.read())
            os.replace(temporary, target / name)
    archive.unlink()


def parser() -> Parser:
    p = Parser(description=__doc__)
    p.add_argument("folder", metavar="FOLDER")
    p.add_argument("--diagrams", metavar="FOLDER", help="where what draws diagrams goes")
    return p


if __name__ == "__main__":
    run(main, parser())

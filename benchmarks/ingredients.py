#!/usr/bin/env python
"""What each ingredient of the renderer is worth: leave it out, render, train from nothing, score on real faces.

    python benchmarks/ingredients.py --head-file ict.npz --output FOLDER [--faces 2500] [--epochs 60]

Every cell renders the same faces (same seed: other ingredients draw the same numbers), trains the same small network
for as many samples and is scored with true boxes, without an adapter. Cells that are done are kept: started again, it
goes on. Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared/data"
REAL = {"youtube_faces_68": ("youtube_faces", SHARED / "youtube_faces_68"), "afw_68": ("300w", SHARED / "afw_68")}
WITHOUT: dict[str, list[str]] = {
    "everything on": [],
    "everything on, other seed": [],
    "hair": ["hair.bald=1.0"],
    "glasses, hats, hands, masks": [
        "accessories.glasses=0.0", "accessories.hat=0.0", "accessories.mask=0.0", "accessories.headset=0.0",
        "accessories.occluder=0.0",
    ],
    "skin texture, beard, make-up": ["skin.texture=[0.0, 0.0]", "skin.makeup=0.0", "skin.beard=0.0"],
    "lamps and shadows": [
        "light.lights=[1, 1]", "light.shadows=0.0", "light.ambient=[0.7, 0.7]", "light.exposure_sd=0.0",
    ],
    "backgrounds": ["background.plain=1.0", "background.others=0.0"],
    "camera effects": [
        "effects.depth_blur=0.0", "effects.motion_blur=0.0", "effects.noise=[0.0, 0.0]", "effects.vignette=0.0",
        "effects.jpeg=0.0",
    ],
    "expressions": ["expression.neutral=1.0", "expression.blink=0.0"],
    "wide identities": ["head.identity_sd=0.3", "head.stretch_sd=0.0", "head.brow_sd=0.0"],
    "wide poses": ["camera.yaw_sd=10.0", "camera.pitch_sd=6.0", "camera.roll_sd=5.0"],
}  # fmt: skip


def job(name: str, *options: object) -> None:
    command = [sys.executable, str(ROOT / "jobs" / name), *map(str, options)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"error: {' '.join(command)}\n{ran.stderr[-2000:]}")


def settings(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def cell(name: str, off: list[str], options: argparse.Namespace) -> dict[str, float]:
    """NME in per cent by benchmark."""
    place = options.output / name.replace(" ", "_").replace(",", "")
    result = place / "scores.json"
    if not result.exists():
        seed = 2 if name.endswith("other seed") else 1
        made, dataset, run = place / "faces", place / "dataset", place / "run"
        head = ["--head", "ict", "--head-file", options.head_file] if options.head_file else []
        job("synthesize.py", "--count", options.faces, "--size", 128, "--seed", seed, "--workers", options.workers,
            "--output", made, *head, *settings(off))  # fmt: skip
        job("preprocess.py", "--config", "conf/preprocess/box.toml", "--input", made, "--output", dataset, "--workers",
            options.workers, "--overwrite", "--set", "crop.size=96")  # fmt: skip
        small = [f"train.epochs={options.epochs}", "network.width=0.5", "input.size=48", f"train.seed={seed}"]
        job("train.py", "--config", "conf/train/box.toml", "--dataset", dataset, "--output", run, *settings(small))
        scores = {}
        for benchmark, (kind, folder) in REAL.items():
            scored = place / "evaluation.json"
            job("evaluate.py", "--model", run / "checkpoints/best.pt", "--source", kind, "--input", folder,
                "--boxes", "true", "--json", scored)  # fmt: skip
            scores[benchmark] = json.loads(scored.read_text())["figures"]["true_boxes/nme"]
        result.write_text(json.dumps(scores))
    return dict(json.loads(result.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head-file", default="", help="the packed ICT head; without it, the built-in one")
    parser.add_argument("--output", type=Path, required=True, help="folder to work in")
    parser.add_argument("--faces", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--most", type=int, default=len(WITHOUT), help="stop after so many new cells (go on later)")
    options = parser.parse_args()
    missing = [str(folder) for _, folder in REAL.values() if not folder.exists()]
    if missing:
        raise SystemExit(f"error: the real faces are missing: {', '.join(missing)}")
    options.output.mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, float]] = {}
    for name, off in WITHOUT.items():
        done = (options.output / name.replace(" ", "_").replace(",", "") / "scores.json").exists()
        if not done and options.most <= 0:
            continue
        options.most -= not done
        table[name] = cell(name, off, options)
        print(f"{name}: {table[name]}", file=sys.stderr)
    full = table["everything on"]
    print(f"NME % on real faces, true boxes; {options.faces} rendered faces, {options.epochs} epochs from nothing")
    print(f"{'without':34}" + "".join(f"{benchmark:>18}" for benchmark in REAL))
    for name, scores in table.items():
        row = "".join(f"{scores[b]:10.2f} ({scores[b] - full[b]:+5.2f})" for b in REAL)
        print(f"{name:34}{row}")
    print(json.dumps({name: {b: round(v, 2) for b, v in scores.items()} for name, scores in table.items()}))


if __name__ == "__main__":
    main()

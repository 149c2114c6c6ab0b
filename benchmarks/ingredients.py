#!/usr/bin/env python
"""What each ingredient of the renderer is worth: leave it out, render, train, score on real faces.

    python benchmarks/ingredients.py --head-file ict.npz --output FOLDER [--init CHECKPOINT] [--seeds 1 2]

Every cell of a seed renders the same faces (other ingredients draw the same numbers), trains for as many samples and is
scored with true boxes, without an adapter; differences are taken seed by seed. From nothing, a small network shows what
a beginner needs, and hours go by before a difference stands out from the seeds' noise. With --init a network that has
seen everything goes on without the ingredient: what it unlearns is what the ingredient was worth to it. Cells that are
done are kept: started again, it goes on. Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared/data"
REAL = {"youtube_faces_68": ("youtube_faces", SHARED / "youtube_faces_68"), "afw_68": ("300w", SHARED / "afw_68")}
WITHOUT: dict[str, list[str]] = {
    "everything on": [],
    "hair": ["hair.bald=1.0"],
    "glasses, hats, hands, masks": [
        "accessories.glasses=0.0", "accessories.hat=0.0", "accessories.mask=0.0", "accessories.headset=0.0",
        "accessories.occluder=0.0", "accessories.scarf=0.0",
    ],
    "skin texture, beard, make-up": ["skin.texture=[0.0, 0.0]", "skin.makeup=0.0", "skin.beard=0.0"],
    "lamps and shadows": [
        "light.measured=0.0", "light.lights=[1, 1]", "light.shadows=0.0", "light.ambient=[0.7, 0.7]",
        "light.exposure_sd=0.0",
    ],
    "measured light": ["light.measured=0.0"],
    "backgrounds": ["background.place=0.0", "background.plain=1.0", "background.others=0.0"],
    "camera effects": [
        "effects.depth_blur=0.0", "effects.motion_blur=0.0", "effects.noise=[0.0, 0.0]", "effects.vignette=0.0",
        "effects.jpeg=0.0", "effects.sharpen=0.0", "effects.grey=0.0", "effects.contrast=[0.3, 0.3]",
        "effects.saturation=[1.0, 1.0]",
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


def cell(name: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """NME in per cent by benchmark."""
    place = options.output / f"{name.replace(' ', '_').replace(',', '')}-seed{seed}"
    result = place / "scores.json"
    if not result.exists():
        made, dataset, run = place / "faces", place / "dataset", place / "run"
        head = ["--head", "ict", "--head-file", options.head_file] if options.head_file else []
        job("synthesize.py", "--count", options.faces, "--size", 256, "--seed", seed, "--workers", options.workers,
            "--output", made, *head, *settings(WITHOUT[name]))  # fmt: skip
        job("preprocess.py", "--config", "conf/preprocess/box.toml", "--input", made, "--output", dataset, "--workers",
            options.workers, "--overwrite")  # fmt: skip
        plan = [f"train.epochs={options.epochs}", f"train.seed={seed}"]
        if options.init:
            plan += ["optimiser.lr=5e-4", "optimiser.ema=0.99", "train.freeze_norms=0.0"]
        else:
            plan += ["network.width=0.5", "input.size=48"]
        start = ["--init", options.init] if options.init else []
        job("train.py", "--config", "conf/train/box.toml", "--dataset", dataset, "--output", run, *start,
            *settings(plan))  # fmt: skip
        scores = {}
        for benchmark, (kind, folder) in REAL.items():
            scored = place / "evaluation.json"
            job("evaluate.py", "--model", run / "checkpoints/best.pt", "--source", kind, "--input", folder,
                "--boxes", "true", "--json", scored)  # fmt: skip
            scores[benchmark] = json.loads(scored.read_text())["figures"]["true_boxes/nme"]
        shutil.rmtree(made)
        shutil.rmtree(dataset)
        result.write_text(json.dumps(scores))
    return dict(json.loads(result.read_text()))


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):+6.2f}" + (f" ± {statistics.stdev(values):4.2f}" if len(values) > 1 else " " * 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head-file", default="", help="the packed ICT head; without it, the built-in one")
    parser.add_argument("--output", type=Path, required=True, help="folder to work in")
    parser.add_argument("--init", help="checkpoint of conf/train/box.toml's network that goes on training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--faces", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    missing = [str(folder) for _, folder in REAL.values() if not folder.exists()]
    if missing:
        raise SystemExit(f"error: the real faces are missing: {', '.join(missing)}")
    options.output.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in WITHOUT}
    for seed in options.seeds:
        for name in WITHOUT:
            scores[name].append(cell(name, seed, options))
            print(f"{name}, seed {seed}: {scores[name][-1]}", file=sys.stderr, flush=True)
    start = f"from {Path(options.init).name}" if options.init else "from nothing"
    print(f"NME % on real faces, true boxes; {options.faces} rendered faces, {options.epochs} epochs {start}; "
          f"seeds {options.seeds}, differences seed by seed")  # fmt: skip
    print(f"{'without':30}" + "".join(f"{benchmark:>25}" for benchmark in REAL))
    for name, of_seeds in scores.items():
        row = ""
        for b in REAL:
            worse = [one[b] - full[b] for one, full in zip(of_seeds, scores["everything on"], strict=True)]
            row += f"{statistics.mean(one[b] for one in of_seeds):10.2f} {spread(worse):>14}"
        print(f"{name:30}{row}")
    print(json.dumps({n: {b: [round(one[b], 2) for one in of] for b in REAL} for n, of in scores.items()}))


if __name__ == "__main__":
    main()

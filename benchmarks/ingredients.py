#!/usr/bin/env python
"""What each ingredient of the renderer is worth: leave it out, render, train, score on real faces.

    python benchmarks/ingredients.py --output FOLDER --real AFW:300w=DIR [--init CHECKPOINT] [--head-file ict.npz]

Every set has the same faces (other ingredients draw the same numbers); then jobs/compare.py trains on each for as many
samples, judges all on the same rendered and real faces, and writes its page. From nothing, a small network shows what a
beginner needs, and hours go by before a difference stands out from the seeds' spread. With --init a network that has
seen everything goes on without the ingredient: what it unlearns is what the ingredient was worth to it. What is done is
kept: started again, it goes on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.model.comparison.grid import toml
from fakeit.pipelines.machine import processors

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING = "everything on"
WITHOUT: dict[str, list[str]] = {
    EVERYTHING: [],
    "hair": ["hair.bald=1.0", "skin.beard=0.0"],
    "skins of all tones": ["skin.tones=[0.25, 0.25]", "skin.texture=[0.7, 0.7]"],
    "measured light": ["light.measured=0.0"],
    "children and the old": ["people.babies=0.0", "people.children=0.0", "people.old=0.0"],
    "glasses, hats, hands, masks": [
        "accessories.glasses=0.0", "accessories.hat=0.0", "accessories.mask=0.0", "accessories.headset=0.0",
        "accessories.occluder=0.0", "accessories.scarf=0.0",
    ],
    "skin texture, beard, make-up": ["skin.texture=[0.0, 0.0]", "skin.makeup=0.0", "skin.beard=0.0"],
    "lamps and shadows": [
        "light.measured=0.0", "light.lights=[1, 1]", "light.shadows=0.0", "light.ambient=[0.7, 0.7]",
        "light.exposure_sd=0.0",
    ],
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


def job(name: str, *options: object, quiet: bool = True) -> None:
    command = [sys.executable, str(ROOT / "jobs" / name), *map(str, options)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=quiet, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"error: {' '.join(command)}\n{(ran.stderr or '')[-2000:]}")


def settings(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def dataset(name: str, options: argparse.Namespace) -> Path:
    """The faces without an ingredient as crops; rendered once, and the pictures thrown away."""
    place = options.output / "datasets" / re.sub(r"\W+", "_", name)
    if not (place / "manifest.json").exists():
        made = place.with_name(f"{place.name}.faces")
        head = ["--head", "ict", "--head-file", options.head_file] if options.head_file else []
        job("synthesize.py", "--count", options.faces, "--size", options.render, "--seed", 1, "--output", made,
            "--workers", options.workers, *head, *settings(WITHOUT[name]))  # fmt: skip
        small = settings(["source.options.dense=true", "crop.size=128"])
        job("preprocess.py", "--config", "conf/preprocess/box.toml", "--input", made, "--output", place, *small,
            "--workers", options.workers, "--overwrite")  # fmt: skip
        shutil.rmtree(made)
        print(f"without {name}: {place}", flush=True)
    return Path(place)


def conf(places: dict[str, Path], options: argparse.Namespace) -> str:
    """A file of conf/compare over the datasets."""
    start = "from the box's network going on" if options.init else "from nothing"
    going = {"optimiser.lr": 5e-4, "optimiser.ema": 0.99, "train.freeze_norms": 0.0}
    small = {"network.width": options.width, "input.size": options.size, "network.dense_modes": 0, "loss.dense": 0.0}
    keys = going if options.init else small
    points = [f'    {{ name = "{n}", dataset = "{p.absolute()}", judged = "comparison" }},' for n, p in places.items()]
    return f"""name = "render_ingredients"
title = "Ingredients of the renderer, {start}"
question = "What is each ingredient of a rendered face worth to a network that meets real ones?"
conf = "{ROOT / "conf/train/box.toml"}"
init = "{options.init or ""}"
told = "real"
baseline = "{EVERYTHING}"
register = ""
seeds = {options.seeds}
set = {{ {", ".join(f'"{key}" = {toml(value)}' for key, value in keys.items())} }}
budget = {{ samples = {options.samples}, rounds = 10 }}
[[axes]]
name = "without"
points = [
{chr(10).join(points)}
]
"""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head-file", default="", help="the packed ICT head; without it, the default head")
    parser.add_argument("--output", type=Path, required=True, help="folder to work in")
    parser.add_argument("--init", help="a network of conf/train/box.toml that goes on training; box: the box's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--faces", type=int, default=2500)
    parser.add_argument("--render", type=int, default=256, help="pixels of a rendered face (256)")
    parser.add_argument("--size", type=int, default=48, help="pixels of the network's input, from nothing (48)")
    parser.add_argument("--width", type=float, default=0.5, help="of the network, from nothing (0.5)")
    parser.add_argument("--samples", type=int, default=37_500, help="that each training sees (37,500)")
    parser.add_argument("--without", nargs="+", choices=list(WITHOUT), default=list(WITHOUT), metavar="INGREDIENT")
    named = "[NAME:]BENCHMARK=DIR"
    parser.add_argument("--real", "--photographs", action="append", default=[], metavar=named, help="to score on")
    parser.add_argument("--workers", type=int, default=len(processors.allowed()))
    options = parser.parse_args()
    places = {name: dataset(name, options) for name in dict.fromkeys([EVERYTHING, *options.without])}
    grid = options.output / "render_ingredients.toml"
    grid.write_text(conf(places, options))
    real = [part for each in options.real for part in ("--real", each)]
    job("compare.py", "--config", grid, "--dataset", places[EVERYTHING], "--output", options.output, *real, quiet=False)


if __name__ == "__main__":
    main()

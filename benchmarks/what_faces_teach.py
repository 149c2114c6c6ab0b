#!/usr/bin/env python
"""What a set of faces teaches: the same network, the same number of samples, trained on each set, scored on real faces.

    python benchmarks/what_faces_teach.py --output FOLDER --set old=DATASET --set new=DATASET --set both=DATASET+DATASET

A DATASET is what jobs/preprocess.py made with conf/preprocess/box.toml. Scores are with true boxes, without an adapter
and with a ridge adapter fitted on the other set of real faces (AFW's on HELEN-train; HELEN-train's and YouTube's on
AFW). Cells that are done are kept: started again, it goes on. Prints a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks.ingredients import ROOT, job
from fakeit.model.comparison.grid import toml
from fakeit.pipelines.machine import processors
from fakeit.pipelines.store import manifest

SHARED = ROOT.parent / "shared" / "data"
# Benchmark → (source, folder, whose labels its adapter is fitted on).
REAL = {
    "afw": ("300w", SHARED / "afw_68", "helen"),
    "helen": ("300w", SHARED / "helen_train_870", "afw"),
    "ytf": ("youtube_faces", SHARED / "youtube_faces_68", "afw"),
}


def cell(name: str, datasets: list[str], seed: int, options: argparse.Namespace) -> dict[str, float]:
    """NME in per cent: `afw`, `afw adapted` and so on."""
    place = options.output / f"{name}-seed{seed}"
    kept = place / "scores.json"
    if not kept.exists():
        samples = sum(manifest.load(dataset).rows("train") for dataset in datasets)
        plan = {"train.epochs": max(1, round(options.samples / samples)), "train.seed": seed, "tracking.uri": ""}
        plan |= {"network.width": options.width, "input.size": options.size, "train.threads": options.threads}
        plan |= {"data.mix": [{"path": other} for other in datasets[1:]]}
        sets = [part for key, value in plan.items() for part in ("--set", f"{key}={toml(value)}")]
        place.mkdir(parents=True, exist_ok=True)
        resume = ["--resume"] if any((place / "run" / "checkpoints").glob("step-*.pt")) else []
        job("train.py", "--config", "conf/train/box.toml", "--dataset", datasets[0], "--output", place / "run", *sets,
            *resume)  # fmt: skip
        best, scores = place / "run" / "checkpoints" / "best.pt", {}
        for benchmark in ("helen", "afw"):
            kind, folder, _ = REAL[benchmark]
            job("evaluate.py", "--model", best, "--source", kind, "--input", folder, "--fit-adapter", benchmark)
        for benchmark, (kind, folder, fitted) in REAL.items():
            told = place / f"{benchmark}.json"
            job("evaluate.py", "--model", best, "--source", kind, "--input", folder, "--boxes", "true", "--json", told,
                "--adapter", fitted)  # fmt: skip
            figures = json.loads(told.read_text())["figures"]
            scores[benchmark] = figures["true_boxes/nme"]
            scores[f"{benchmark} adapted"] = next(v for k, v in figures.items() if "adapter/nme" in k)
        kept.write_text(json.dumps(scores))
    return dict(json.loads(kept.read_text()))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to work in")
    parser.add_argument("--set", action="append", required=True, metavar="NAME=DATASET[+DATASET]", dest="sets")
    parser.add_argument("--samples", type=int, default=100_000, help="that each training sees (100,000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=float, default=0.5, help="of resnet_lean (0.5)")
    parser.add_argument("--size", type=int, default=64, help="of its crops, pixels (64)")
    parser.add_argument("--threads", type=int, default=len(processors.allowed()))
    options = parser.parse_args()
    missing = [str(folder) for _, folder, _ in REAL.values() if not folder.exists()]
    if missing:
        raise SystemExit(f"error: the real faces are missing: {', '.join(missing)}")
    sets = {name: places.split("+") for name, _, places in (text.partition("=") for text in options.sets)}
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in sets}
    for seed in options.seeds:  # all sets with one seed first: a cut leaves a whole comparison
        for name, datasets in sets.items():
            scores[name].append(cell(name, datasets, seed, options))
            print(f"{name}, seed {seed}: {scores[name][-1]}", file=sys.stderr, flush=True)
    columns = [c for b in REAL for c in (b, f"{b} adapted")]
    print(f"NME %, true boxes; {options.samples:,} samples each, {options.size} px, seeds {options.seeds}")
    print(f"{'trained on':16}" + "".join(f"{column:>16}" for column in columns))
    for name, of_seeds in scores.items():
        cells = [[one[column] for one in of_seeds] for column in columns]
        spread = [f"{statistics.mean(v):.2f} ± {statistics.stdev(v) if len(v) > 1 else 0:.2f}" for v in cells]
        print(f"{name:16}" + "".join(f"{text:>16}" for text in spread))
    print(json.dumps(scores))


if __name__ == "__main__":
    main()

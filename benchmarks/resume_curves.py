#!/usr/bin/env python
"""Loss curves of two ranks that were killed with SIGKILL and resumed, on top of a run that nobody disturbed.

Example: python benchmarks/resume_curves.py --dataset DATASET --output docs/images/resume.png
Prints how many steps' losses are equal to the last bit.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from train_job import launcher, losses, sets  # noqa: E402

Losses = dict[int, float]


def newest_checkpoint(folder: Path) -> int:
    return max((int(path.stem[5:]) for path in folder.glob("checkpoints/step-*.pt")), default=0)


class Job:
    """Two ranks under horovodrun."""

    def __init__(self, dataset: str, folder: Path, options: list[str], resume: bool = False) -> None:
        files = ["--config", str(ROOT / "conf/train/demo.toml"), "--dataset", dataset, "--output", str(folder)]
        said = [*files, *sets(*options), *["--resume"] * resume]
        command = [*launcher("horovod", 2), str(ROOT / "jobs/train.py"), *said]
        self.folder = folder
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def kill_after(self, step: int, ranks: int) -> float:
        """SIGKILL to so many ranks once a checkpoint of at least `step` stands; seconds until the launcher left."""
        while newest_checkpoint(self.folder) < step:
            if self.process.poll() is not None:
                raise SystemExit("the run ended before it could be killed")
            time.sleep(0.02)
        time.sleep(1.5)  # some steps beyond the checkpoint, which will be done again
        below = psutil.Process(self.process.pid).children(recursive=True)
        found = [p.pid for p in below if p.cmdline()[1:2] == [str(ROOT / "jobs/train.py")]]
        started = time.monotonic()
        for pid in found[-ranks:]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return time.monotonic() - started


def draw(unbroken: Losses, pieces: list[Losses], equal: int, output: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(list(unbroken), list(unbroken.values()), color="0.75", linewidth=5, label="nobody disturbs it")
    names = ["two ranks, until one is killed", "resumed, until both are killed", "resumed, to the end"]
    for piece, name, colour in zip(pieces, names, ("tab:blue", "tab:orange", "tab:green"), strict=True):
        axes.plot(list(piece), list(piece.values()), color=colour, linewidth=1.2, label=name)
        if piece is not pieces[-1]:
            axes.axvline(max(piece), color=colour, linestyle=":", linewidth=1)
    axes.set(xlabel="step", ylabel="training loss", yscale="log")
    axes.set_title(f"{equal} of {len(unbroken)} steps equal to the last bit")
    axes.legend(frameon=False)
    figure.savefig(output, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/resume.png")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    options = [f"train.epochs={arguments.epochs}", f"data.images={arguments.images}", "train.checkpoint_minutes=0.02"]
    options += [
        "train.minutes=0",
        "train.validate_every=99",
        'tracking.uri=""',
        "data.batch_size=64",
        "train.precision=float32",
    ]
    steps = -(-arguments.images // 64) * arguments.epochs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if Job(arguments.dataset, folder / "unbroken", options).process.wait():
            raise SystemExit("the undisturbed run failed")
        pieces, start = [], 0
        for step, ranks in ((steps // 5, 1), (6 * steps // 10, 2)):
            job = Job(arguments.dataset, folder / "killed", options, resume=start > 0)
            print(f"{ranks} killed; the launcher left after {job.kill_after(step, ranks):.1f} s", flush=True)
            pieces.append({s: loss for s, loss in losses(folder / "killed").items() if s > start})
            start = newest_checkpoint(folder / "killed")
        if Job(arguments.dataset, folder / "killed", options, resume=True).process.wait():
            raise SystemExit("the resumed run failed")
        unbroken, killed = losses(folder / "unbroken"), losses(folder / "killed")
    pieces.append({s: loss for s, loss in killed.items() if s > start})
    equal = sum(killed.get(step) == loss for step, loss in unbroken.items())
    print(f"{equal} of {len(unbroken)} steps equal to the last bit")
    draw(unbroken, pieces, equal, arguments.output)


if __name__ == "__main__":
    main()

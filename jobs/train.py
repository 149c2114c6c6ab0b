#!/usr/bin/env python
"""A dataset → a trained network, tracked in MLflow. Alone, under horovodrun or torchrun, or on a Spark cluster."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, next_step, run
from fakeit.pipelines.errors import FakeitError

NEEDS = ("torch", "pyarrow", "mlflow", "matplotlib", "scipy")
EXAMPLE = """examples, with OPTIONS = --config conf/train/demo.toml --dataset DATASET:
  python jobs/train.py --config conf/train/demo.toml --dataset DATASET --output RUN
  horovodrun -np 2 python jobs/train.py OPTIONS
  torchrun --nproc-per-node 2 --max-restarts 3 jobs/train.py OPTIONS --output runs/x
  ./spark-submit.sh jobs/train.py --launcher spark --ranks 2 OPTIONS"""


def main(arguments: argparse.Namespace) -> int:
    from fakeit.model.training.config import TrainConfig
    from fakeit.pipelines.config import load
    from fakeit.pipelines.store import manifest

    config = load(arguments.config, TrainConfig, arguments.set)
    manifest.load(arguments.dataset)  # a mistake here is told before ranks start
    if arguments.launcher != "none":
        if arguments.ranks < 1:
            raise FakeitError(f"--ranks is {arguments.ranks}; at least 1 is needed")
        from fakeit.jobs.launch import launch

        return launch(arguments.launcher, arguments.ranks, work, (config, vars(arguments)))
    return work(config, vars(arguments))


def work(config: object, options: dict[str, object]) -> int:
    """One rank's part; runs in the launcher's process or in an executor's."""
    from fakeit.model.distributed import restarts
    from fakeit.model.distributed.communicator import connect
    from fakeit.model.distributed.failures import told
    from fakeit.model.training.config import TrainConfig
    from fakeit.model.training.trainer import PREEMPTED, train

    assert isinstance(config, TrainConfig)
    faulthandler.enable()  # native code that crashes says where
    restarts.check_output(options["output"])  # type: ignore[arg-type]
    comm = connect(config.comm)
    output = comm.broadcast(options["output"] or f"runs/{config.network.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    with told(comm, Path(output), leave=options.get("launcher", "none") == "none"):
        resume = bool(options["resume"])
        resume = restarts.goes_on(comm, Path(output), resume) or resume
        outcome = train(config, str(options["dataset"]), output, comm, resume, options["init"])  # type: ignore[arg-type]
    if comm.rank == 0:
        shown = "  ".join(f"{key} {value:.3e}" for key, value in outcome.metrics.items() if key.startswith("val"))
        print(f"{outcome.ended}; {outcome.images_per_s:,.0f} images/s; best: {outcome.best}  {shown}")
        if outcome.ended == "preempted":
            print(f"a checkpoint stands; go on with: --output {output} --resume")
        else:
            next_step(".venv/bin/python jobs/predict.py --model {} --images DIR --output points.csv", outcome.best)
    comm.close()
    return PREEMPTED if outcome.ended == "preempted" else 0


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--config", required=True, help="a file of conf/train")
    p.add_argument("--dataset", required=True, help="folder or URL that jobs/preprocess.py wrote")
    p.add_argument("--output", help="folder of the run (default: runs/NETWORK-DATE)")
    p.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --output")
    p.add_argument("--init", metavar="CHECKPOINT", help="weights to start from, where they fit; or box, large, nano")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key of the conf")
    both = "spark: horovod.spark.run; torch: pyspark's TorchDistributor; both inside spark-submit"
    p.add_argument("--launcher", choices=("none", "spark", "torch"), default="none", help=both)
    p.add_argument("--ranks", type=int, default=2, help="how many, for --launcher")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

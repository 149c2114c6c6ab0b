#!/usr/bin/env python
"""A dataset with missing points → the same with the gaps of its training rows filled by models, in rounds, on Spark."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, next_step, run

EXAMPLE = """example:
  ./spark-submit.sh jobs/fill_in.py --config conf/train/kaggle_generalise.toml --dataset KAGGLE --output KAGGLE_FILLED
  python jobs/fill_in.py --workers 2 --models each --config conf/train/kaggle_cnn.toml --dataset D --output F"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.export import export_beside
    from fakeit.model.kaggle.imputation import Round, fill_in, trainer
    from fakeit.model.kaggle.shard_imputation import FillConfig
    from fakeit.model.training.config import TrainConfig
    from fakeit.pipelines.config import load
    from fakeit.pipelines.files.storage import absolute
    from fakeit.pipelines.machine import runners

    fill = FillConfig(arguments.rounds, arguments.models, arguments.min_confidence, arguments.pseudo_label_weight)
    if arguments.workers is not None:
        runner = runners.in_processes(arguments.workers)
    else:
        runner = runners.on_spark(runners.spark_session("fakeit fill in"))
        for name in ("dataset", "output", "scratch"):
            setattr(arguments, name, absolute(getattr(arguments, name)))

    config = load(arguments.config, TrainConfig, arguments.set)
    train = trainer(config, arguments.scratch, export_beside)  # as ONNX: executors have no torch

    def report(number: int, ended: Round) -> None:
        filled = sum(ended.filled.values())
        print(
            f"round {number}/{fill.rounds}: {filled:,} of {ended.missing:,} missing points filled, mean confidence "
            f"{ended.confidence:.2f}; training {ended.training_seconds / 60:.1f} min, prediction "
            f"{ended.filling_seconds:.0f} s",
            flush=True,
        )

    rounds = fill_in(
        arguments.dataset, arguments.output, arguments.scratch, train, runner, fill, arguments.overwrite, report
    )
    minutes = sum(r.training_seconds + r.filling_seconds for r in rounds) / 60
    print(f"{arguments.output}: filled in {minutes:.1f} min")
    next_step("python jobs/train.py --config {} --dataset {}", arguments.config, arguments.output)


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--config", required=True, help="a file of conf/train: how each round's models are trained")
    p.add_argument("--dataset", required=True, help="what jobs/preprocess.py wrote, with gaps")
    p.add_argument("--output", required=True, help="the filled dataset to write")
    p.add_argument("--scratch", default="runs/fill_in", help="folder of the rounds' models and datasets")
    p.add_argument("--rounds", type=at_least(1), default=2)
    p.add_argument("--models", choices=("one", "each"), default="one", help="one for all points, or for each")
    p.add_argument("--min-confidence", type=float, default=0.2, help="points of less confidence stay missing")
    p.add_argument("--pseudo-label-weight", type=float, default=0.5, help="weight of a filled point of confidence 1")
    p.renamed("--least", "--min-confidence")
    p.renamed("--strength", "--pseudo-label-weight")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key of the conf")
    p.add_argument("--workers", type=at_least(0), metavar="N", help="N local processes instead of Spark")
    p.add_argument("--overwrite", action="store_true", help="replace the dataset at --output")
    return p


if __name__ == "__main__":
    run(main, parser())

#!/usr/bin/env python
"""Source faces → a dataset: decode, face box, crop, resize, augment → Parquet that any Petastorm reader opens."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, next_step, run

NEEDS = ("pyarrow", "pandas", "matplotlib", "scipy", "numba")
EXAMPLE = """example:
  ./spark-submit.sh jobs/preprocess.py --config conf/preprocess/face_synthetics.toml --input FACES --output DATASET"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.pipelines.config import load
    from fakeit.pipelines.files.storage import absolute
    from fakeit.pipelines.flows import dataset_report, preprocess
    from fakeit.pipelines.flows import preview as previews
    from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
    from fakeit.pipelines.machine import runners
    from fakeit.pipelines.store.manifest import SPLITS
    from fakeit.pipelines.store.replacing import Existing, check_output

    config = load(arguments.config, PreprocessConfig, arguments.set)
    if arguments.dry_run:
        print(preprocess.describe(config, arguments.input))
        return
    if arguments.preview:
        print(f"preview: {previews.write(config, arguments.input, arguments.preview, arguments.output)}")
        return
    existing: Existing = "resume" if arguments.resume else "overwrite" if arguments.overwrite else "refuse"
    check_output(arguments.output, existing)
    if arguments.workers is not None:
        runner = runners.in_processes(arguments.workers)
    else:
        runner = runners.on_spark(runners.spark_session("fakeit preprocess"))
        arguments.input, arguments.output = absolute(arguments.input), absolute(arguments.output)
    outcome = preprocess.preprocess(config, arguments.input, arguments.output, runner, existing)
    made = outcome.manifest
    rows = " · ".join(f"{split} {made.rows(split):,}" for split in SPLITS)
    print(
        f"{arguments.output}: {outcome.images:,} images → {rows} rows in {len(made.shards)} shards, "
        f"{outcome.images / outcome.seconds:.0f} images/s, {len(made.rejected)} rejected, digest {made.digest}"
    )
    print(outcome.tally.line())
    for note in outcome.notes:
        print(f"note: {note}")
    for rejection in made.rejected[:5]:
        print(f"  rejected: {rejection.reason}")
    print(f"report: {dataset_report.write(arguments.output, outcome.seconds)}")
    train = "horovodrun -np 2 python jobs/train.py --config conf/train/demo.toml"
    next_step(f"{train} --dataset {{}}   # minutes; conf/train has larger networks", arguments.output)


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--config", required=True, help="a file of conf/preprocess")
    p.add_argument("--input", required=True, help="folder, .zip or URL of the source faces")
    p.add_argument("--output", required=True, help="folder or URL of the dataset to write")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key of the conf")
    p.add_argument("--workers", type=at_least(0), metavar="N", help="N local processes instead of Spark")
    p.add_argument("--dry-run", action="store_true", help="say what would be made and stop")
    p.add_argument("--preview", type=at_least(1), metavar="N", help="draw N faces and their variants, and stop")
    state = p.add_mutually_exclusive_group()
    state.add_argument("--resume", action="store_true", help="make only what a killed run has left out")
    state.add_argument("--overwrite", action="store_true", help="remove the dataset that is there, make it anew")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

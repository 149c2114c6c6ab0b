#!/usr/bin/env python
"""A model against labelled faces: scores with true boxes and with a detector, with and without a label adapter."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, check, next_step, run
from fakeit.pipelines.faces import detector_names

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/evaluate.py --model best.pt --source 300w-full --input 300W --report report.html
  python jobs/evaluate.py --model best.pt --source 300w --input AFW --fit-adapter ibug68
  python jobs/evaluate.py --model best.pt --source youtube_faces --input DIR --adapter ibug68 --json scores.json
  python jobs/evaluate.py --model best.pt --source 300w --input AFW --fit-boxes     # maps a detector's boxes
  python jobs/evaluate.py --model best.onnx --source face_synthetics --input RENDERS --fit-confidence
  python jobs/evaluate.py --model best.pt --unlabelled FFHQ --report report.html"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.evaluation import runner
    from fakeit.model.evaluation.runner import BenchmarkConfig
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.pipelines.config import key_values
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.files.outputs import check_file

    if (arguments.source is None or arguments.input is None) and arguments.unlabelled is None:
        raise FakeitError("say --source and --input, or --unlabelled")
    check([*["matplotlib"] * bool(arguments.report), *["mlflow", "matplotlib"] * bool(arguments.mlflow)])
    for place in filter(None, (arguments.report, arguments.json)):
        check_file(place, (arguments.model, arguments.input, arguments.unlabelled))
    config = LandmarkerConfig(arguments.detector, arguments.refine, arguments.flip)
    landmarker = Landmarker.load(arguments.model, config, arguments.adapter, arguments.threads)
    boxes, options = tuple(arguments.boxes), key_values(arguments.option)
    what = BenchmarkConfig(
        arguments.source or "", arguments.input or "", boxes, arguments.limit, arguments.unlabelled, options
    )
    if arguments.fit_boxes:
        print(runner.fit_boxes_on(landmarker, what))
        return
    if arguments.fit_adapter:
        print(runner.fit_adapter_on(landmarker, what, arguments.fit_adapter, arguments.model))
        return
    if arguments.fit_confidence:
        check(["onnx"])
        print(runner.fit_confidence_on(landmarker, what, arguments.model))
        return
    result = runner.benchmark(landmarker, what, str(arguments.model or "the model in the box"))
    print(result.text)
    if not (arguments.report or arguments.json or arguments.mlflow):
        next_step("python jobs/evaluate.py … --report report.html   # curves, groups, the worst faces")
    if arguments.report:
        Path(arguments.report).write_text(result.html, encoding="utf-8")
        print(f"{arguments.report}: written")
    if arguments.json:
        Path(arguments.json).write_text(result.json, encoding="utf-8")
    if arguments.mlflow:
        print(runner.log(result, arguments.mlflow))


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--model", help="a name (fakeit models), checkpoint, .onnx or models:/NAME@ALIAS; else the box")
    p.add_argument("--source", help="300w-common|challenging|full|private, wflw, 300vw, aflw-5, kaggle; any source")
    p.add_argument("--input", metavar="PATH", help="where the source's files are")
    p.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the source")
    p.add_argument("--unlabelled", metavar="DIR", help="faces without points: agreement under flips and turns")
    p.add_argument("--boxes", nargs="+", default=["true", "detector"], choices=("true", "detector"))
    p.add_argument("--detector", default=detector_names.DEFAULT, help=detector_names.KNOWN)
    p.add_argument(
        "--refine", type=at_least(0), default=0, metavar="N", help="passes after the first, with a detector's boxes"
    )
    p.add_argument("--flip", action="store_true", help="average with the mirrored crop")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter: scored with and without")
    p.add_argument("--fit-adapter", metavar="NAME", help="fit one on this source, store it beside the model, and stop")
    p.add_argument("--fit-boxes", action="store_true", help="fit the detector's box map on this source, and stop")
    p.add_argument("--fit-confidence", action="store_true", help="fit the confidence on held-back renders, and stop")
    p.add_argument("--limit", type=at_least(1), metavar="N", help="the first N samples only")
    p.add_argument("--report", metavar="FILE.html")
    p.add_argument("--json", metavar="FILE.json")
    p.add_argument("--mlflow", metavar="URI", help="log figures and the report to this tracking store")
    p.add_argument("--threads", type=at_least(1), default=1)
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

#!/usr/bin/env python
"""A training checkpoint → an ONNX file that carries its crop recipe and scheme and needs no torch."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, next_step, run

NEEDS = ("torch", "onnx")
EXAMPLE = """examples:
  python jobs/export.py --model runs/best.pt --output face70.onnx
  python jobs/export.py --model runs/best.pt --output face70.int8.onnx --precision int8 --dataset DATASET
  python jobs/export.py --model runs/best.pt --output face70.opencv.onnx --layout nchw # for OpenCV's dnn"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.export import export, sample_crops
    from fakeit.model.inference.adapter import adapter_path, stored_names
    from fakeit.model.inference.backends import load_network
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.landmarks import scheme
    from fakeit.pipelines.store import manifest

    if not arguments.output.endswith(".onnx"):
        raise FakeitError(f"output {arguments.output}: its name must end in .onnx")
    network, metadata = load_network(arguments.model)
    crops = calibration = None
    if arguments.dataset:  # judged on validation faces, where there are some; int8's ranges are of training faces
        crops = sample_crops(arguments.dataset, arguments.crops, metadata, ("val", "test", "train"))
        if arguments.precision == "int8" and len({s.split for s in manifest.load(arguments.dataset).shards}) > 1:
            calibration = sample_crops(arguments.dataset, arguments.crops, metadata, ("train", "test", "val"))
    made = export(network, metadata, arguments.output, arguments.precision, crops, arguments.layout, calibration)
    for name in stored_names(arguments.model):
        shutil.copyfile(adapter_path(arguments.model, name), adapter_path(arguments.output, name))
    apart = f", {made.mean:.1e} crop pixels from torch's points, {made.parity:.1e} at most"
    about = f"{arguments.precision}, {scheme(metadata.scheme).title}, {metadata.network}"
    print(f"{made.path}: {made.bytes / 1e6:.1f} MB, {about}{apart}")
    next_step(f"python jobs/predict.py --model {made.path} --images PHOTOS --output points.csv")


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--model", required=True, help="a training checkpoint (best.pt)")
    p.add_argument("--output", required=True, metavar="FILE.onnx")
    p.add_argument("--precision", default="float32", choices=("float32", "float16", "int8"))
    p.add_argument("--dataset", help="validation crops to check parity on, training crops to calibrate int8 on")
    p.add_argument("--crops", type=int, default=256, metavar="N", help="crops taken of it (256)")
    p.add_argument("--layout", choices=("nhwc", "nchw"), default="nhwc", help="nchw: float, as OpenCV's blobs are")
    p.renamed("--planes", "--layout nchw")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

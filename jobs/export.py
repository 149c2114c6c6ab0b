#!/usr/bin/env python
"""A training checkpoint → an ONNX file that carries its recipe and scheme and needs no torch; an ONNX file → TFLite."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, check, next_step, run

NEEDS = ()  # TFLite is made of an ONNX file; see main
EXAMPLE = """examples:
  python jobs/export.py --model runs/best.pt --output face70.onnx
  python jobs/export.py --model runs/best.pt --output face70.onnx --precision float16  # half the file, as fast
  python jobs/export.py --model runs/best.pt --output face70.int8.onnx --precision int8 --dataset DATASET
  python jobs/export.py --model runs/best.pt --output face70.opencv.onnx --layout nchw # for OpenCV's dnn
  python jobs/export.py --model box --output face70.tflite       # or of an .onnx; pip install onnx2tf ai-edge-litert"""


def main(arguments: argparse.Namespace) -> None:
    if arguments.output.endswith(".tflite"):
        return tflite(arguments)
    check(("torch", "onnx"))
    from fakeit.model.export import export, sample_crops
    from fakeit.model.inference.adapter import adapter_path, stored_names
    from fakeit.model.inference.backends import load_network
    from fakeit.model.tracking.catalogue import locate
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.files.outputs import Sources
    from fakeit.pipelines.landmarks import scheme
    from fakeit.pipelines.store import manifest

    if not arguments.output.endswith(".onnx"):
        raise FakeitError(f"output {arguments.output}: its name must end in .onnx or .tflite")
    source = locate(arguments.model)
    Sources([str(source)]).check(arguments.output)
    network, metadata = load_network(source)
    crops = calibration = None
    if arguments.dataset:  # judged on validation faces, where there are some; int8's ranges are of training faces
        crops = sample_crops(arguments.dataset, arguments.crops, metadata, ("val", "test", "train"))
        if arguments.precision == "int8" and len({s.split for s in manifest.load(arguments.dataset).shards}) > 1:
            calibration = sample_crops(arguments.dataset, arguments.crops, metadata, ("train", "test", "val"))
    made = export(network, metadata, arguments.output, arguments.precision, crops, arguments.layout, calibration)
    for name in stored_names(source):
        shutil.copyfile(adapter_path(source, name), adapter_path(made.path, name))
    apart = f", {made.mean:.1e} crop pixels from torch's points, {made.parity:.1e} at most"
    about = f"{arguments.precision}, {scheme(metadata.scheme).title}, {metadata.network}"
    print(f"{made.path}: {made.bytes / 1e6:.1f} MB, {about}{apart}")
    next_step("python jobs/predict.py --model {} --images PHOTOS --output points.csv", made.path)


def tflite(arguments: argparse.Namespace) -> None:
    from fakeit.model.tflite import to_tflite
    from fakeit.model.tracking.catalogue import locate
    from fakeit.pipelines.errors import FakeitError

    source = locate(arguments.model)
    if source.suffix != ".onnx" or arguments.precision != "float32" or arguments.layout != "nhwc":
        raise FakeitError("TFLite is made of an ONNX file in float32, nhwc: export the checkpoint to .onnx first")
    made = to_tflite(source, Path(arguments.output))
    apart = f"{made.mean:.1e} crop pixels from the ONNX file's points, {made.parity:.1e} at most"
    print(f"{made.path}: {made.bytes / 1e6:.1f} MB, {apart}; scheme and crop recipe in {made.path}.json")


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument(
        "--model", required=True, help="a training checkpoint (best.pt) or trainable model (box); for TFLite an .onnx"
    )
    p.add_argument("--output", required=True, metavar="FILE.onnx|FILE.tflite")
    p.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "float16", "int8"),
        help="float16: weights stored in 16 bits, computed with in 32: half the file, as fast",
    )
    p.add_argument("--dataset", help="validation crops to check parity on, training crops to calibrate int8 on")
    p.add_argument("--crops", type=at_least(1), default=256, metavar="N", help="crops taken of it (256)")
    p.add_argument("--layout", choices=("nhwc", "nchw"), default="nhwc", help="nchw: float, as OpenCV's blobs are")
    p.renamed("--planes", "--layout nchw")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

#!/usr/bin/env python
"""Face filters on pictures and videos: things to wear, a face swap, blur for privacy."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run
from fakeit.pipelines.faces import detector_names

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/filters.py --filter glasses moustache --images photos/ --output worn/
  python jobs/filters.py --filter blur --images street.mp4 --output private/
  python jobs/filters.py --swap other.jpg --images me.jpg --output swapped/"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.inference.filters import apply_filters, make_edit
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.pipelines.files.pictures import expand

    landmarker = Landmarker.load(arguments.model, LandmarkerConfig(arguments.detector), arguments.adapter)
    edit = make_edit(landmarker, arguments.filter, arguments.swap)
    pictures = expand(arguments.images, sys.stdin)
    for line in apply_filters(landmarker, pictures, edit, arguments.output, arguments.swap):
        print(line)


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--images", nargs="+", required=True, metavar="PLACE", help="files, folders, globs, videos")
    p.add_argument("--filter", nargs="+", default=[], metavar="NAME", help="glasses, hat, moustache, mask, blur")
    p.add_argument("--swap", metavar="PICTURE", help="put the face of this picture on every face")
    p.add_argument("--output", required=True, metavar="DIR")
    p.add_argument("--model", help="a name (fakeit models), checkpoint, .onnx or models:/NAME@ALIAS; else the box")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter beside the model, contour or wflw98")
    p.add_argument("--detector", default=detector_names.DEFAULT, help=detector_names.KNOWN)
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

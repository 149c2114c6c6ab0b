#!/usr/bin/env python
"""Pictures, videos or a camera → landmarks as CSV, JSON, .pts or COCO, and drawn."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/predict.py --images photos/ --output points.csv --draw drawn/
  python jobs/predict.py --model best.pt --images 'a/*.jpg' b.png --boxes boxes.csv --output points.json
  find . -name '*.jpg' | python jobs/predict.py --images - --output points.csv
  python jobs/predict.py --images talk.mp4 --output points.csv --draw drawn/
  python jobs/predict.py --camera 0 --frames 300 --output points.csv --draw drawn/"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.inference.batch import Summary, predict, stage_line
    from fakeit.model.inference.face_tracker import VideoConfig
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.model.inference.output_formats import choose_format, write
    from fakeit.model.inference.video import run_video
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.pictures import expand, read_boxes

    if (arguments.camera is None) == (not arguments.images):
        raise FakeitError("say either --images or --camera")
    kind = choose_format(arguments.output, arguments.format)
    config = LandmarkerConfig(arguments.detector, arguments.refine, arguments.flip)
    pictures = expand(arguments.images, sys.stdin) if arguments.images else []
    landmarker = Landmarker.load(arguments.model, config, arguments.adapter, arguments.threads, arguments.device)
    draw = Path(arguments.draw) if arguments.draw else None
    video = VideoConfig(every=arguments.every, smooth=not arguments.no_smooth)
    summary = Summary()
    if arguments.camera is not None:
        drawn = draw / f"camera{arguments.camera}.mp4" if draw else None
        result = run_video(landmarker, arguments.camera, drawn, video, limit=arguments.frames)
        found = result.found
        print(f"camera {arguments.camera}: {len(found)} frames, {stage_line(result.milliseconds)}")
    else:
        boxes = read_boxes(arguments.boxes) if arguments.boxes else None
        found = list(predict(landmarker, pictures, summary, boxes, arguments.faces, draw, video))
        print(summary.line())
        for problem in [f.problem for f in found if f.problem][:5]:
            print(f"  {problem}")
    write(found, arguments.output, kind, landmarker.scheme)
    print(f"{arguments.output}: {kind}, {landmarker.scheme}" + (f"; drawn in {draw}" if draw else ""))


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--model", help="checkpoint, .onnx or models:/NAME@ALIAS; else the box")
    p.add_argument("--images", nargs="+", metavar="PLACE", help="files, folders, globs, .zip, videos; - is stdin")
    p.add_argument("--camera", type=int, metavar="N", help="a webcam's number")
    p.add_argument("--frames", type=int, metavar="N", help="stop a camera after N frames (else Ctrl-C)")
    p.add_argument("--boxes", metavar="CSV", help="image,x,y,width,height: tight around the points; else detected")
    p.add_argument("--faces", type=int, default=1, metavar="N", help="keep the N most prominent (1; 0 keeps all)")
    p.add_argument("--output", required=True, help=".csv, .json, or a folder for .pts")
    p.add_argument("--format", choices=("csv", "json", "pts", "coco"), help="where the output's ending does not say")
    p.add_argument("--draw", metavar="DIR", help="pictures and videos with points, red where the network is unsure")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter beside the model, or its .npz file")
    p.add_argument("--detector", default="mtcnn", help="mtcnn (finds more) or haar (faster)")
    p.add_argument("--refine", type=int, default=0, metavar="N", help="more passes, cropped by the points before (0)")
    p.add_argument("--flip", action="store_true", help="average with the mirrored crop: twice the time")
    p.add_argument("--every", type=int, default=15, metavar="N", help="videos: frames between detections (15)")
    p.add_argument("--no-smooth", action="store_true", help="videos: points as they come")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

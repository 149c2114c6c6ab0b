#!/usr/bin/env python
"""Pictures, videos or a camera → landmarks as CSV, JSON, .pts or COCO, and drawn."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, next_step, run
from fakeit.pipelines.faces import detector_names

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/predict.py photo.jpg                       # draws photo.points.jpg beside it
  python jobs/predict.py --images photos/ --output points.csv --draw drawn/
  python jobs/predict.py --model best.pt --images 'a/*.jpg' b.png --boxes boxes.csv --output points.json
  find . -name '*.jpg' | python jobs/predict.py --images - --output points.csv
  python jobs/predict.py --images talk.mp4 --output points.csv --draw drawn/
  python jobs/predict.py --camera 0 --frames 300 --output points.csv --draw drawn/"""


def main(arguments: argparse.Namespace) -> int:
    from fakeit.model.inference.batch import Summary, predict, stage_line
    from fakeit.model.inference.face_tracker import VideoConfig
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.model.inference.output_formats import ResultWriter, choose_format
    from fakeit.model.inference.video import VideoRun
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.faces.box_table import read_boxes
    from fakeit.pipelines.files.outputs import Sources
    from fakeit.pipelines.files.pictures import drawn_beside, drawn_names, expand
    from fakeit.pipelines.landmarks import scheme
    from fakeit.pipelines.progress import progress

    asked = [*arguments.places, *(arguments.images or [])]
    if (arguments.camera is None) == (not asked):
        raise FakeitError("say either which pictures (files, folders, globs, .zip, videos) or --camera")
    kind = choose_format(arguments.output, arguments.format) if arguments.output else None
    config = LandmarkerConfig(arguments.detector, arguments.refine, arguments.flip, arguments.smallest_face)
    pictures = expand(asked, sys.stdin) if asked else []
    boxes = read_boxes(arguments.boxes) if arguments.boxes else None
    landmarker = Landmarker.load(arguments.model, config, arguments.adapter, arguments.threads, arguments.device)
    draw = Path(arguments.draw) if arguments.draw else None
    if draw is None and kind is None:
        draw, pictures = drawn_beside(asked, pictures)
    kept, followed = 1, VideoConfig.max_faces
    if arguments.faces is not None:
        kept, followed = arguments.faces, arguments.faces or sys.maxsize
    video = VideoConfig(every=arguments.every, smooth=not arguments.no_smooth, max_faces=followed)
    read = [*(p.location for p in pictures), *filter(None, (arguments.boxes, arguments.model, arguments.adapter))]
    names, summary, problems = [p.name for p in pictures], Summary(), list[str]()
    drawn = draw / f"camera{arguments.camera}.mp4" if draw and arguments.camera is not None else None
    made = ResultWriter(arguments.output, kind, landmarker.scheme, names, Sources(read)) if kind else None
    with made or nullcontext():
        add = made.add if made else lambda found: None
        if arguments.camera is not None:
            run, count = VideoRun(landmarker, arguments.camera, drawn, video, limit=arguments.frames), 0
            for found in run:
                add(found)
                count += 1
            print(f"camera {arguments.camera}: {count} frames, {stage_line(run.milliseconds)}")
        watch = partial(progress, what="predict", unit="pictures")
        for found in predict(landmarker, pictures, summary, boxes, kept, draw, video, watch):
            add(found)
            problems += [found.problem] if found.problem else []
    if pictures:
        print(summary.line())
    if summary.without and boxes is None:
        print(f"  without a face: the detector {arguments.detector} sees none there; --boxes names known ones")
    for problem in problems[:5]:
        print(f"  {problem}")
    if summary.nothing_read:
        raise FakeitError(f"none of {summary.pictures} pictures could be read")
    places = [f"{arguments.output}: {kind}, {scheme(landmarker.scheme).title}"] if kind else []
    if draw is not None:
        one = len(pictures) == 1 and not arguments.draw
        places.append(f"drawn in {draw / drawn_names(pictures)[pictures[0].name] if one else draw}")
    print("; ".join(places))
    if kind is None:
        next_step("python jobs/predict.py PICTURES --output points.csv   # or .json, or a folder for .pts")
    return 0


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--model", help="a name (fakeit models), checkpoint, .onnx or models:/NAME@ALIAS; else the box")
    p.add_argument("places", nargs="*", metavar="PLACE", help="files, folders, globs, .zip, videos; - is stdin")
    p.add_argument("--images", nargs="+", metavar="PLACE", help="the same, as an option")
    p.add_argument("--camera", type=int, metavar="N", help="a webcam's number")
    p.add_argument("--frames", type=at_least(1), metavar="N", help="stop a camera after N frames (else Ctrl-C)")
    p.add_argument("--boxes", metavar="CSV", help="image,x,y,width,height: tight around the points; else detected")
    p.add_argument(
        "--faces", type=at_least(0), metavar="N", help="the N most prominent (of a picture 1, of a video 8; 0: all)"
    )
    p.add_argument("--output", help=".csv, .json, or a folder for .pts; without it faces are only drawn")
    p.add_argument("--format", choices=("csv", "json", "pts", "coco"), help="where the output's ending does not say")
    p.add_argument("--draw", metavar="DIR", help="pictures and videos with points, red where the network is unsure")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter beside the model, its .npz, contour or wflw98")
    p.add_argument("--detector", default=detector_names.DEFAULT, help=detector_names.KNOWN)
    p.add_argument("--smallest-face", type=float, metavar="SHARE", help="of the shorter side (yunet 0.05)")
    p.add_argument("--refine", type=at_least(0), default=0, metavar="N", help="passes more, cropped by points (0)")
    p.add_argument("--flip", action="store_true", help="average with the mirrored crop: twice the time")
    p.add_argument("--every", type=at_least(1), default=15, metavar="N", help="videos: frames between detections (15)")
    p.add_argument("--no-smooth", action="store_true", help="videos: points as they come")
    p.add_argument("--threads", type=at_least(1), default=1)
    p.add_argument("--device", default="cpu", help="for checkpoints: cpu or cuda; ONNX files run on the CPU")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

#!/usr/bin/env python
"""Faces followed through videos, or a camera: a film with their points, and the points as CSV, JSON, .pts or COCO."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, next_step, run
from fakeit.pipelines.faces import detector_names

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/video.py talk.mp4                                # films talk.points.mp4 beside it
  python jobs/video.py talk.mp4 --film out.webm --output points.csv --adapter ibug68
  python jobs/video.py --camera 0 --frames 300 --film me.mp4"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.inference.batch import stage_line
    from fakeit.model.inference.face_tracker import VideoConfig
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.model.inference.output_formats import ResultWriter, choose_format
    from fakeit.model.inference.video import VideoRun
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.files.outputs import Sources
    from fakeit.pipelines.landmarks import scheme
    from fakeit.pipelines.progress import counted

    if (arguments.camera is None) == (arguments.video is None):
        raise FakeitError("say either a video or --camera")
    place = arguments.camera if arguments.video is None else arguments.video
    named = Path(f"camera{place}.mp4" if isinstance(place, int) else place)
    film = Path(arguments.film) if arguments.film else named.parent / f"{named.stem}.points.mp4"
    kind = choose_format(arguments.output, arguments.format) if arguments.output else None
    config = LandmarkerConfig(arguments.detector)
    landmarker = Landmarker.load(arguments.model, config, arguments.adapter, arguments.threads)
    follow = VideoConfig(every=arguments.every, smooth=not arguments.no_smooth, max_faces=arguments.faces)
    run, frames, faces = VideoRun(landmarker, place, film, follow, limit=arguments.frames), 0, 0
    read = Sources(filter(None, (arguments.video, arguments.model, arguments.adapter)))
    made = ResultWriter(arguments.output, kind, landmarker.scheme, sources=read) if kind else None
    with made or nullcontext():
        for found in run:
            frames += 1
            faces += len(found.faces)
            if made:
                made.add(found)
    print(f"{place}: {counted(frames, 'frame')}, {counted(faces, 'face')}, {stage_line(run.milliseconds)}")
    if run.note:
        print(f"  {run.note}")
    if kind is not None:
        print(f"{arguments.output}: {kind}, {scheme(landmarker.scheme).title}")
    print(f"filmed in {film}")
    if kind is None:
        next_step("python jobs/video.py {} --output points.csv", place)


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("video", nargs="?", metavar="VIDEO", help="a video file")
    p.add_argument("--camera", type=int, metavar="N", help="a webcam's number")
    p.add_argument("--frames", type=at_least(1), metavar="N", help="stop after N frames (a camera: else Ctrl-C)")
    p.add_argument("--film", metavar="FILE", help="what is written: .mp4, .webm, .avi (default: beside the video)")
    p.add_argument("--output", help=".csv, .json, or a folder for .pts")
    p.add_argument("--format", choices=("csv", "json", "pts", "coco"), help="where the output's ending does not say")
    p.add_argument("--model", help="a name (fakeit models), checkpoint, .onnx or models:/NAME@ALIAS; else the box")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter beside the model, its .npz, contour or wflw98")
    p.add_argument("--detector", default=detector_names.DEFAULT, help=detector_names.KNOWN)
    p.add_argument("--faces", type=at_least(1), default=8, metavar="N", help="follow the N most prominent (8)")
    p.add_argument("--every", type=at_least(1), default=15, metavar="N", help="frames between detections (15)")
    p.add_argument("--no-smooth", action="store_true", help="points as they come")
    p.add_argument("--threads", type=at_least(1), default=1)
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

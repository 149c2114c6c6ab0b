#!/usr/bin/env python
"""A page in the browser: a picture, the camera or a video in; points, their confidence, timing and files out."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, run

NEEDS = ("gradio",)
EXAMPLE = """example:
  python jobs/demo_web.py --models runs/ models:/fakeit-landmarks --port 7860
  python jobs/demo_web.py --host 0.0.0.0 --auth users.txt --certificate cert.pem --key key.pem"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.inference.web.choices import known_models
    from fakeit.model.inference.web.server import Door, serve
    from fakeit.model.inference.web.workers import Limits, Workers
    from fakeit.pipelines.errors import FakeitError
    from fakeit.pipelines.machine.extras import remedy

    models = known_models(arguments.models)
    a = arguments
    door = Door(a.host, a.port, tuple(a.allow_host), a.auth, a.certificate, a.key)
    workers = Workers(a.workers, Limits(picture_s=a.seconds, video_s=9 * a.seconds))
    try:
        serve(models, door, workers, 60 * a.keep)
    except ImportError as error:
        raise FakeitError(f"the web demo needs gradio ({error}): {remedy(['gradio'])}") from error


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--models", nargs="*", default=[], metavar="PLACE", help="files, folders, models:/NAME (MLflow)")
    p.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets the network in, and asks for --auth")
    p.add_argument("--port", type=at_least(1, 65535), default=7860)
    p.add_argument("--auth", metavar="FILE", help="who may come in: a line NAME:PASSWORD each, readable by you alone")
    p.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name by which it is reached")
    p.add_argument("--certificate", metavar="PEM", help="with --key: https, so that passwords are not read on the way")
    p.add_argument("--key", metavar="PEM")
    p.add_argument("--workers", type=at_least(1), default=2, help="pictures read at once; each takes some 0.6 GB")
    p.add_argument("--seconds", type=float, default=20, help="a picture may take; a video nine times that")
    p.add_argument("--keep", type=float, default=10, metavar="MINUTES", help="an upload stays at most")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

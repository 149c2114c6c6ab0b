#!/usr/bin/env python
"""A page in the browser: upload a picture or use the camera, pick a model, see the points and the timing."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run

NEEDS = ("gradio",)
EXAMPLE = """example:
  python jobs/demo_web.py --models runs/ models:/fakeit-landmarks --port 7860"""


def main(arguments: argparse.Namespace) -> None:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from fakeit.model.inference.web import known_models, page
    from fakeit.pipelines.errors import FakeitError

    models = known_models(arguments.models)
    try:
        blocks = page(models)
    except ImportError as error:
        raise FakeitError(f"the web demo needs gradio ({error}): pip install 'fakeit[web]'") from error
    print(f"{len(models)} models; http://{arguments.host}:{arguments.port}, Ctrl-C ends it", flush=True)
    try:
        blocks.launch(
            server_name=arguments.host, server_port=arguments.port, quiet=True, show_error=True, max_file_size="50mb"
        )
    except OSError as error:
        raise FakeitError(f"port {arguments.port}: {error}") from error


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--models", nargs="*", default=[], metavar="PLACE", help="files, folders, models:/NAME (MLflow)")
    p.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets the network in")
    p.add_argument("--port", type=int, default=7860)
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

#!/usr/bin/env python
"""The models to choose from by name: size, speed, accuracy, licence, what they saw in training."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, next_step, run

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/models.py
  python jobs/predict.py photo.jpg --model box-int8"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.tracking import catalogue

    known = catalogue.models()
    if arguments.json:
        print(json.dumps({name: {**asdict(m), "path": str(m.path)} for name, m in known.items()}, indent=1))
        return
    print(catalogue.table())
    next_step("python jobs/predict.py photo.jpg --model {}", list(known)[-1])


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--json", action="store_true", help="all figures, by yaw and skin tone too, for programs")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

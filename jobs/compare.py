#!/usr/bin/env python
"""Which architecture, how many images, which mix? A grid of trainings, judged alike, in MLflow and on one page.

Run it again after an interruption: cells that are done are skipped, the others go on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, next_step, run

NEEDS = ("torch", "pyarrow", "mlflow", "matplotlib")
EXAMPLE = """examples:
  python jobs/compare.py --config conf/compare/architectures.toml --dataset DATASET
  python jobs/compare.py --config conf/compare/dataset_sizes.toml --dataset DATASET --workers 4 --set budget.epochs=10
  python jobs/compare.py --config conf/compare/ingredients.toml --dataset DATASET --real AFW:300w=DIR
  python jobs/compare.py --config conf/compare/mixing.toml --dataset DATASET --photographs AFW:300w=DIR"""


def main(arguments: argparse.Namespace) -> int:
    from fakeit.model.comparison.compare import compare, plan
    from fakeit.model.comparison.config import load
    from fakeit.model.comparison.photographs import parse
    from fakeit.model.tracking.mlflow_tracker import address

    config = load(arguments.config, tuple(arguments.set))
    if arguments.dry_run:
        print(plan(config, arguments.dataset))
        return 0
    sets = (*(parse(text, trained=True) for text in arguments.photographs), *(parse(text) for text in arguments.real))
    outcome = compare(config, arguments.dataset, Path(arguments.output) / config.name, arguments.workers, sets)
    failed = [state for state in outcome.states if state.ended in ("failed", "busy")]
    for state in failed:
        print(f"  {state.ended}: {state.cell.id}: {state.reason} (log: {state.folder / 'train.log'})")
    for alias, version in outcome.aliases.items():
        print(f"registered {config.register} version {version} as {alias}")
    print("\n".join(f"{page}: written" for page in outcome.pages))
    next_step("mlflow ui --backend-store-uri {}", address(config.uri))
    return 1 if failed else 0


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--config", required=True, help="a file of conf/compare")
    p.add_argument("--dataset", required=True, help="folder or URL that jobs/preprocess.py wrote")
    p.add_argument("--output", default="comparisons", help="folder of comparisons (default: comparisons)")
    p.add_argument("--workers", type=at_least(1), default=1, metavar="N", help="trainings side by side")
    named = "[NAME:]BENCHMARK=DIR"
    p.add_argument("--real", action="append", default=[], metavar=named, help="judge on real faces too")
    crossed = "likewise; and points of the conf that train on real faces take these, cross-fitted"
    p.add_argument("--photographs", action="append", default=[], metavar=named, help=crossed)
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key of the conf")
    p.add_argument("--dry-run", action="store_true", help="list the cells and their commands, and stop")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)

#!/usr/bin/env python
"""Measures every model of `model/box/models.json` and writes the figures into it: nothing there is typed by hand.

    python tools/measure_models.py --set youtube_faces=YOUTUBE_FACES --set 300w=AFW
    python tools/measure_models.py --set … --only nano        # a new entry alone

Sizes; milliseconds of one core a face (processor time of crop, network and way back, so that a busy machine does not
count); NME in per cent of the outer eye corners' distance with true boxes, plain and with the adapter where one lies
beside the model, with groups by yaw and skin tone. An adapter is never scored on the faces that it was fitted on: there
the figure is cross-validated.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cv2
import numpy as np

from fakeit.model.evaluation.predictions import collect
from fakeit.model.evaluation.protocols import open_protocol, protocol
from fakeit.model.evaluation.runner import score
from fakeit.model.inference.adapter import stored_names
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.tracking import catalogue
from fakeit.pipelines.faces.box import Box

CARD = catalogue.FOLDER / "README.md"
BEGIN, END = "<!-- written by tools/measure_models.py -->\n", "<!-- end of the table -->"


def card(page: str) -> str:
    """The model card with its table as measured."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{catalogue.table()}\n{END}{rest.partition(END)[2]}"


def milliseconds(landmarker: Landmarker, blocks: int = 15, times: int = 20) -> float:
    """Processor time a face, of the quickest block: what else runs on the machine only ever adds."""
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    boxes = [Box(200, 120, 220, 220)]
    for _ in range(20):
        landmarker.predict_boxes(pixels, boxes)
    spent = []
    for _ in range(blocks):
        started = time.process_time()
        for _ in range(times):
            landmarker.predict_boxes(pixels, boxes)
        spent.append((time.process_time() - started) / times)
    return 1000 * min(spent)


def measure(name: str, sets: dict[str, str], limit: int | None) -> dict[str, Any]:
    path = catalogue.locate(name)
    adapters = stored_names(path)
    landmarker = Landmarker.load(name, adapter=adapters[0] if adapters else None)
    figures: dict[str, Any] = {"megabytes": round(path.stat().st_size / 1e6, 1)}
    once = LandmarkerConfig(upright=180.0)  # noise may look turned, and would be read twice
    figures |= {"ms": round(milliseconds(Landmarker.load(name, once)), 2), "sets": {}}
    for kind, folder in sets.items():
        chosen = protocol(kind)
        source, samples = open_protocol(chosen, folder)
        collected = collect(landmarker, source, samples[:limit], "true")
        entry: dict[str, Any] = {"faces": len(collected.samples)}
        for made in score(landmarker, collected, chosen.normaliser):
            way = "adapted" if "adapter" in made.title else "nme"
            entry[way] = round(float(made.scores.nme), 3)
            groups = {k: round(float(v.nme), 3) for k, v in made.groups.items() if "yaw" in k or "skin" in k}
            entry[f"{way}_groups"] = groups
        figures["sets"][Path(folder).name] = entry
        print(f"{name} on {Path(folder).name}: {entry}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="SOURCE=FOLDER", help="none: speed only")
    parser.add_argument("--only", action="append", metavar="NAME", help="of the models, these")
    parser.add_argument("--limit", type=int, help="the first N faces of each set, to try it")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    sets = dict(item.split("=", 1) for item in arguments.set)
    listed = json.loads(catalogue.LIST.read_text())
    for name in arguments.only or listed:
        made = measure(name, sets, arguments.limit)
        listed[name]["figures"] = made if sets else {**listed[name].get("figures", {}), "ms": made["ms"]}
    if arguments.limit is None:
        catalogue.LIST.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
        catalogue.models.cache_clear()
        CARD.write_text(card(CARD.read_text()))
    print(catalogue.table())


if __name__ == "__main__":
    main()

#!/usr/bin/env python
"""Faces a second on one core, and where the time goes.

    python benchmarks/synthesize.py [--head ict --head-file ict.npz] [--faces 40]
    python benchmarks/synthesize.py --head makehuman --against ict --against-file ict.npz   # face by face in turns

Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.pipelines.flows.synthesize import write_face
from fakeit.pipelines.synth.config import HeadConfig, SynthesisConfig
from fakeit.pipelines.synth.face import render

HEADS = ("builtin", "ict", "makehuman")
STAGES = {
    "shape": ("_draw_shape", "_express", "vertex_normals"),
    "paint": ("paint",),
    "complexion": ("draw_texture", "draw_cards"),
    "light": ("draw_lighting",),
    "hair": ("draw_hair", "grow", "draw_hair_strands", "shadow_on_face"),
    "face hair": ("draw_face_hair",),
    "worn": ("draw_worn", "head_radii"),
    "raster": ("rasterise",),
    "shade": ("shade",),
    "background": ("draw_background", "depth_blur"),
    "accessories": ("draw_accessories",),
    "camera effects": ("photograph",),
}


def measure(config: SynthesisConfig, size: int, faces: int) -> tuple[float, float, dict[str, float]]:
    """Faces a second in memory and with their files written, and milliseconds a face by stage; processor time."""
    render(0, 1, config, size)  # compiles
    started = time.process_time()
    done = [render(index, 1, config, size) for index in range(faces)]
    rendering = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        for index, face in enumerate(done):
            write_face(face, folder, index)
        writing = time.process_time() - started
    profile = cProfile.Profile()
    profile.enable()
    for index in range(faces):
        render(index, 1, config, size)
    profile.disable()
    spent: dict[str, float] = {}
    for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[name] = spent.get(name, 0.0) + cumulative
    stages = {stage: 1000 * sum(spent.get(name, 0.0) for name in names) / faces for stage, names in STAGES.items()}
    stages["writing (PNG)"] = 1000 * writing / faces
    return faces / rendering, faces / (rendering + writing), stages


def against(config: SynthesisConfig, other: SynthesisConfig, size: int, faces: int) -> dict[str, float]:
    """Seconds a face of two confs, rendered in turns so that a busy machine disturbs both, and their ratio: of the
    means, and of the medians of blocks of ten faces."""
    spent: dict[int, list[float]] = {0: [], 1: []}
    for index in range(-2, faces):
        for which in (0, 1) if index % 2 else (1, 0):
            started = time.process_time()
            render(abs(index), 1, (config, other)[which], size)
            if index >= 0:  # the first compile and load
                spent[which].append(time.process_time() - started)
    means = [sum(spent[which]) / faces for which in (0, 1)]
    blocks = [sum(spent[0][i : i + 10]) / sum(spent[1][i : i + 10]) for i in range(0, faces, 10)]
    return {"ms": 1000 * means[0], "other_ms": 1000 * means[1], "ratio": means[0] / means[1],
            "block_ratio": sorted(blocks)[len(blocks) // 2]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", default="builtin", choices=HEADS)
    parser.add_argument("--head-file", default="")
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--against", choices=HEADS, help="another head to render in turns with it, at 512²")
    parser.add_argument("--against-file", default="")
    arguments = parser.parse_args()
    config = SynthesisConfig(head=HeadConfig(kind=arguments.head, file=arguments.head_file))
    if arguments.against:
        other = SynthesisConfig(head=HeadConfig(kind=arguments.against, file=arguments.against_file))
        found = against(config, other, 512, arguments.faces)
        print(f"{arguments.head} takes {found['ratio']:.2f} times as long as {arguments.against} at 512²")
        rounded = {key: round(value, 3) for key, value in found.items()}
        print(json.dumps({"head": arguments.head, "against": arguments.against} | rounded))
        return
    figures: dict[str, float | str] = {"head": arguments.head}
    tables = {}
    for size in (512, 256):
        rate, written, tables[size] = measure(config, size, arguments.faces)
        figures[f"faces_per_s_core_{size}"] = round(rate, 1)
        figures[f"faces_per_s_core_{size}_written"] = round(written, 1)
    print(f"{arguments.head} head, milliseconds a face (profiled, so a little slower than the rates)")
    print(f"{'stage':18}{'512²':>8}{'256²':>8}")
    for stage in tables[512]:
        print(f"{stage:18}{tables[512][stage]:8.1f}{tables[256][stage]:8.1f}")
    for size in (512, 256):
        print(f"{size}²: {figures[f'faces_per_s_core_{size}']} faces/s a core in memory, "
              f"{figures[f'faces_per_s_core_{size}_written']} with their files")  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

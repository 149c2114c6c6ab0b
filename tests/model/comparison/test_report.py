"""The page of a comparison, from results alone: every table, every curve, one file, and the same as Markdown."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fakeit.model.comparison.config import Axis, Budget, ComparisonConfig
from fakeit.model.comparison.report import write_report
from fakeit.pipelines.config import to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.draw import write_image


def _comparison(folder: Path) -> None:
    axes = (
        Axis("images", key="data.images", values=(250, 500, 1000)),
        Axis("network", key="network.name", values=("a", "b")),
    )
    config = ComparisonConfig("sizes", "Sizes", "x.toml", Budget(epochs=3), axes=axes, price=2.0, seeds=(1, 2))
    folder.mkdir()
    state = {"config": to_dict(config), "digest": "d", "scheme": "face70", "crop": {"size": 64}}
    state["images"] = {"train": 1000, "val": 50, "test": 50}
    (folder / "comparison.json").write_text(json.dumps(state))
    random = np.random.default_rng(0)
    for size in (250, 500, 1000):
        for network, scale in (("a", 60.0), ("b", 80.0)):
            for seed in (1, 2):
                _cell(folder / "cells" / f"{size}-{network}-{seed}", size, network, seed, scale, random)


def _cell(place: Path, size: int, network: str, seed: int, scale: float, random: np.random.Generator) -> None:
    place.mkdir(parents=True)
    nme = scale * size**-0.4 * float(np.exp(0.02 * random.standard_normal()))
    scores = {"mse": nme**2 / 1e4, "nme": nme, "auc10": 0.5, "fr10": 12.0, "faces": 50}
    history = [{"train_loss": 0.01 / (e + 1), "val_nme": nme / 100 * (1 + 1 / (e + 1))} for e in range(3)]
    result = {"splits": dict.fromkeys(("train", "val", "test"), scores), "parameters": 1000, "macs": 5e6 * scale,
              "images": size, "history": history, "train_images_per_s": 10.0, "infer_images_per_s": 20.0,
              "infer_ms": 3.0, "lr": 1e-3, "samples": 3000, "parts": {"test": {"jaw": nme, "eyes": nme / 2}},
              "yaw": {"test": {"yaw 0–15°": {"nme": nme, "faces": 40.0}}},
              "real": {"300w": {"nme": 9.0}}, "machine": "1 CPU thread(s)", "run_id": None}  # fmt: skip
    (place / "result.json").write_text(json.dumps(result))
    labels = {"images": f"{size:,}", "network": network}
    (place / "cell.json").write_text(json.dumps({"labels": labels, "seed": seed, "command": f"python {place.name}"}))
    (place / "seconds.json").write_text("36.0")
    np.savez(place / "errors.npz", test=random.random(50) / 5)


def test_the_page_holds_every_table_and_needs_no_other_file(tmp_path: Path) -> None:
    _comparison(tmp_path / "c")
    page, text = (p.read_text() for p in write_report(tmp_path / "c", tmp_path / "out"))
    for heading in ("Errors", "What they cost", "Validation MSE by training images", "How many images are enough?",
                    "Learning curves", "Published figures"):  # fmt: skip
        assert heading in page and heading in text
    assert page.count("<svg") >= 4 and not re.search(r'(src|href)="(?!data:|#)', page)
    assert "python 1000-a-1" in page and "±" in page and "NME 300w %" in page and "USD" in page
    for name in re.findall(r"\]\((pictures/[^)]+)\)", text):
        assert (tmp_path / "out" / name).is_file()
    exponent = re.search(r"\| a \| (0\.\d+) \(", text)
    assert exponent and float(exponent[1]) == pytest.approx(0.4, abs=0.05)


def test_the_answer_stands_on_top_and_says_what_seeds_allow(tmp_path: Path) -> None:
    _comparison(tmp_path / "c")
    page, text = (p.read_text() for p in write_report(tmp_path / "c", tmp_path / "out"))
    assert text.splitlines()[2].startswith("**After 3 epochs, twice as many as 1,000 take away 2")
    assert page.index("class=answer") < page.index("<table") and "Seeds alone make two rows differ by up to" in text
    for heading in (
        "Accuracy against speed",
        "Cumulative errors",
        "By part of the face",
        "By how far the face is turned",
    ):
        assert heading in text


def test_figures_are_drawn_in_the_pages_colours(tmp_path: Path) -> None:
    """White rectangles stood on the dark page, with black text on them."""
    _comparison(tmp_path / "c")
    page = write_report(tmp_path / "c", tmp_path / "out")[0].read_text()
    assert "currentColor" in page and "#000000" not in page and "fill: #ffffff" not in page
    beside = (tmp_path / "out/pictures/loss_curves.svg").read_text()
    assert "currentColor" not in beside and "fill: #ffffff" in beside, "alone, on GitHub, it needs a ground of its own"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    _comparison(tmp_path / "c")
    assert "Unfinished" not in write_report(tmp_path / "c")[1].read_text()
    shutil.rmtree(tmp_path / "c/cells/1000-a-2")
    assert "Unfinished: 11 of 12 trainings" in write_report(tmp_path / "c")[1].read_text()


def test_a_fold_that_is_missing_is_said(tmp_path: Path) -> None:
    """Its faces were in no figure, and the page said nothing of it."""
    _comparison(tmp_path / "c")
    state = json.loads((tmp_path / "c/comparison.json").read_text())
    trained = {"name": "on", "points": [{"name": "rendered"}, {"name": "mixed", "photographs": 5}]}
    state["config"] |= {"axes": [trained], "seeds": [1], "folds": 2}
    (tmp_path / "c/comparison.json").write_text(json.dumps(state))
    cells = sorted((tmp_path / "c/cells").iterdir())
    for place, (point, fold) in zip(cells, (("rendered", -1), ("mixed", 0), ("mixed", 1)), strict=False):
        told = {"labels": {"on": point}, "seed": 1, "fold": fold, "command": "python x"}
        (place / "cell.json").write_text(json.dumps(told))
    for place in cells[3:]:
        shutil.rmtree(place)
    assert "Unfinished" not in write_report(tmp_path / "c")[1].read_text()
    shutil.rmtree(cells[2])
    assert "Unfinished: 2 of 3 trainings" in write_report(tmp_path / "c")[1].read_text()


def test_test_faces_can_stay_out_of_the_page(tmp_path: Path) -> None:
    _comparison(tmp_path / "c")
    for place in (tmp_path / "c" / "cells").iterdir():
        write_image(str(place / "worst.jpg"), np.zeros((8, 8, 3), np.uint8))
    assert "data:image/jpeg" in write_report(tmp_path / "c", tmp_path / "with")[0].read_text()
    page, text = (p.read_text() for p in write_report(tmp_path / "c", tmp_path / "without", faces=False))
    assert "data:image/jpeg" not in page and ".jpg" not in text
    assert not list((tmp_path / "without").rglob("*.jpg"))


def test_failed_cells_are_on_the_page(tmp_path: Path) -> None:
    _comparison(tmp_path / "c")
    broken = tmp_path / "c" / "cells" / "broken"
    broken.mkdir()
    (broken / "failed.txt").write_text("error: no such thing\n")
    assert "no such thing" in write_report(tmp_path / "c")[0].read_text()


def test_a_folder_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="no comparison"):
        write_report(tmp_path)

"""Real faces beside rendered ones: dealt so that no face is scored by a network that saw it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.model.comparison.photographs import Photographs, PhotographSet, deal, ids_of, parse
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.store import manifest as manifests
from tests.tiny_dataset import make_dataset


def make_photographs(folder: Path, count: int, seed: int = 0) -> Path:
    """Pictures of noise with 68 points each, two faces a photograph, as 300-W lays them out."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        name = folder / f"{seed}{number // 2:04d}_{1 + number % 2}"
        cv2.imwrite(f"{name}.jpg", random.integers(0, 255, (80, 80, 3), np.uint8))
        points = random.uniform(20, 60, (68, 2))
        lines = "\n".join(f"{x:.2f} {y:.2f}" for x, y in points)
        Path(f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    return folder


def test_faces_of_one_photograph_share_a_fold() -> None:
    ids = [f"{photo}_{face}" for photo in range(60) for face in (1, 2)]
    dealt = deal(ids, 3)
    assert all(dealt[f"{photo}_1"] == dealt[f"{photo}_2"] for photo in range(60))
    assert [list(dealt.values()).count(fold) for fold in range(3)] == [40, 40, 40]
    assert deal(ids[::-1], 3) == dealt, "whatever the order"


def test_frames_are_no_faces_of_one_photograph() -> None:
    dealt = deal([f"frame_{n}" for n in range(40)], 2)
    assert sorted(dealt.values()) == [0] * 20 + [1] * 20


@pytest.mark.parametrize("text", ["300w", "=x", "300w=", "a b:300w=x"])
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(FakeitError, match="expected"):
        parse(text)


def test_a_set_has_a_name_of_its_own() -> None:
    assert parse("AFW:300w=data/afw:68") == PhotographSet("AFW", "300w", "data/afw:68")
    assert parse("300w=data", trained=True) == PhotographSet("300w", "300w", "data", True)


def test_what_is_trained_on_is_never_of_the_fold_that_is_scored(tmp_path: Path) -> None:
    sets = tuple(
        PhotographSet(name, "300w", str(make_photographs(tmp_path / name, 60, seed)), True)
        for seed, name in enumerate(("a", "b"), 1)
    )
    rendered = manifests.load(str(make_dataset(tmp_path / "r", train=(300,), scheme_name="face70")))
    photographs = Photographs(sets, tmp_path / "stored", 3, CropConfig(size=32, margin=0.2))
    for fold in range(3):
        first, keys = photographs.mix(fold, 50, 0.25, rendered)
        assert first == "", "the rendered faces are the first dataset"
        trained, samples = [], 0.0
        for other in keys["data.mix"]:
            ids = ids_of(other["path"])
            trained += ids
            samples += other["passes_per_epoch"] * len(ids)
            assert manifests.load(other["path"]).rows("val") == 0, "nothing is left to choose an epoch by"
        assert len(trained) == 50 and samples / (samples + 300) == pytest.approx(0.25, abs=1e-4)
        for each in sets:
            stored = each.stored(tmp_path / "stored", CropConfig(size=32, margin=0.2))
            dealt = deal(ids_of(stored), 3)
            assert all(dealt[name] != fold for name in trained if name in dealt)
    alone, keys = photographs.mix(0, 50, 1.0, rendered)
    assert sum(manifests.load(path).rows("train") for path in (alone, keys["data.mix"][0]["path"])) == 50
    fewer = Photographs(sets[:1], tmp_path / "stored", 3, CropConfig(size=32, margin=0.2))
    (only,) = fewer.mix(0, 30, 0.25, rendered)[1]["data.mix"]
    assert manifests.load(only["path"]).rows("train") == 30
    both = photographs.mix(0, 30, 0.25, rendered)[1]["data.mix"]
    assert sum(manifests.load(each["path"]).rows("train") for each in both) == 30, (
        "not what another launch chose of one"
    )
    with pytest.raises(FakeitError, match="100 photographs to train on, outside of fold 1 of 3 there are 80"):
        photographs.mix(0, 100, 0.25, rendered)

"""What stands is replaced when the new is whole, what changed is made again, what is read is never written over."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakeit.model.kaggle.imputation import fill_in
from fakeit.model.kaggle.shard_imputation import FillConfig
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.augment import AugmentConfig, Block
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.files.outputs import Sources, inside
from fakeit.pipelines.flows import preprocess, shard_plan
from fakeit.pipelines.flows.preprocess_config import SourceConfig, SplitConfig
from fakeit.pipelines.flows.rewrite import Facts, rewrite
from fakeit.pipelines.machine import code_version, runners
from fakeit.pipelines.own_scheme import own_scheme
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.schema import Rows
from fakeit.pipelines.store.shards import read_shard
from tests.pipelines.flows.test_preprocess import CONFIG, write_faces
from tests.tiny_dataset import make_dataset

HERE = runners.in_processes(0)


def make(faces: Path, dataset: Path, **options: object) -> Manifest:
    return preprocess.preprocess(CONFIG, str(faces), str(dataset), HERE, **options).manifest  # type: ignore[arg-type]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_faces(tmp_path / "faces", 24)


def points(dataset: Path, made: Manifest, image: str) -> np.ndarray:
    for shard in made.shards:
        rows = read_shard(str(dataset / shard.path), made.shape)
        if image in rows["image_id"]:
            index = rows["image_id"].index(image)
            back = np.asarray(rows["source_from_crop"][index])
            crop = rows["landmarks"][index] * made.crop.size - 0.5
            return np.asarray(np.column_stack([crop, np.ones(len(crop))]) @ back.T)[:, :2]
    raise AssertionError(f"{image} is not there")


def test_resume_makes_what_has_changed(faces: Path, tmp_path: Path) -> None:
    label = faces / "000003_ldmks.txt"
    moved = np.loadtxt(label) * 0.5 + 10
    label.write_text("broken")
    first = make(faces, tmp_path / "d")
    assert [r.image_id for r in first.rejected] == ["000003"]
    label.write_text("".join(f"{x:.3f} {y:.3f}\n" for x, y in moved))
    second = make(faces, tmp_path / "d", existing="resume")
    assert not second.rejected and second.digest != first.digest
    assert np.abs(points(tmp_path / "d", second, "000003") - moved).max() < 0.01
    label.write_text("".join(f"{x + 3:.3f} {y:.3f}\n" for x, y in moved))
    third = make(faces, tmp_path / "d", existing="resume")
    assert np.abs(points(tmp_path / "d", third, "000003") - moved - (3, 0)).max() < 0.01


def test_resume_makes_anew_what_other_code_made(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(faces, tmp_path / "d")
    stood = {p: p.stat().st_mtime_ns for p in (tmp_path / "d").rglob("*.parquet")}
    made = make(faces, tmp_path / "d", existing="resume")
    assert stood == {p: p.stat().st_mtime_ns for p in (tmp_path / "d").rglob("*.parquet")}
    monkeypatch.setattr(shard_plan, "code_hash", lambda: "another")
    assert make(faces, tmp_path / "d", existing="resume").digest == made.digest
    assert all(p.stat().st_mtime_ns > before for p, before in stood.items())


def test_the_code_that_shards_depend_on_is_also_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`evaluate --fit-boxes` rewrites a detector's box map; a resumed job then kept the shards of the one before."""
    monkeypatch.setattr(code_version, "__file__", str(tmp_path / "pipelines" / "machine" / "code_version.py"))
    data, hashes = tmp_path / "pipelines" / "faces" / "box_fits.json", set()
    for place in (data, tmp_path / "pipelines/synth/head.npz", tmp_path / "pipelines/__pycache__/x.pyc"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        hashes.add(code_version.code_hash.__wrapped__())
    assert len(hashes) == 1, "neither the renderer's nor Python's own"
    data.write_text("{}")
    assert code_version.code_hash.__wrapped__() not in hashes


def test_resume_makes_anew_what_a_changed_scheme_mirrors(tmp_path: Path) -> None:
    """Rows of the pairs before stood below a manifest with the new ones: left and right were exchanged."""
    write_image(str(tmp_path / "faces" / "a.png"), np.zeros((60, 60, 3), np.uint8))
    (tmp_path / "faces" / "p.csv").write_text("image,x0,y0,x1,y1,x2,y2\na.png,10,10,50,10,30,40\n")
    own = 'name = "own"\npoints = ["a", "b", "c"]\n'
    config = replace(CONFIG, split=SplitConfig(0, 0), augment=AugmentConfig(keep_original=False, flip=Block()))
    for number, mirror in enumerate(("", 'mirror = [["a", "b"]]')):
        file = tmp_path / "own.toml"
        file.write_text(own + mirror)
        own_scheme.cache_clear()
        options = {"points": "p.csv", "scheme": str(file)}
        config = replace(config, source=SourceConfig("folder", options=options))
        made = preprocess.preprocess(config, str(tmp_path / "faces"), str(tmp_path / "d"), HERE, "resume").manifest
        wanted = [(50, 10), (10, 10)] if number else [(10, 10), (50, 10)]
        assert np.abs(points(tmp_path / "d", made, "a")[:2] - wanted).max() < 0.01
    own_scheme.cache_clear()


def test_a_dataset_is_replaced_when_the_new_one_is_whole(faces: Path, tmp_path: Path) -> None:
    old = make(faces, tmp_path / "d")
    (tmp_path / "d/notes.txt").write_text("mine")
    strict = replace(CONFIG, store=replace(CONFIG.store, max_rejected=0.0))
    (faces / "000001.png").write_bytes(b"no picture")
    with pytest.raises(FakeitError, match="were rejected"):
        preprocess.preprocess(strict, str(faces), str(tmp_path / "d"), HERE, "overwrite")
    manifests.verify(str(tmp_path / "d"), manifests.load(str(tmp_path / "d")).shards, hashes=True)
    assert manifests.load(str(tmp_path / "d")).digest == old.digest
    new = make(faces, tmp_path / "d", existing="overwrite")
    assert manifests.load(str(tmp_path / "d")).digest == new.digest != old.digest
    manifests.verify(str(tmp_path / "d"), new.shards, hashes=True)
    assert (tmp_path / "d/notes.txt").read_text() == "mine" and not (tmp_path / "d.building").exists()


@pytest.mark.parametrize("name", ["a::b", "[a]*", "~", "d.zip"])
def test_whatever_a_dataset_is_called_it_can_be_replaced(
    name: str, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a folder whose name has `::` nothing was removed: a resumed job left the old manifest over new shards. Of
    one called `~` it was the user's own files that were."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = make(faces, tmp_path / name)
    assert make(faces, tmp_path / name, existing="overwrite").digest == made.digest
    monkeypatch.chdir(tmp_path)
    (faces / "000001.png").unlink()
    monkeypatch.setattr(preprocess, "_commit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(faces, Path(name), existing="resume")
    assert not (tmp_path / name / "manifest.json").exists()


@pytest.mark.parametrize("existing", ["resume", "overwrite"])
def test_pictures_in_folders_called_as_splits_are_no_dataset(tmp_path: Path, existing: str) -> None:
    faces = write_faces(tmp_path / "photos" / "train", 4).parent
    other = write_faces(tmp_path / "faces", 4)
    before = sorted(faces.rglob("*"))
    with pytest.raises(FakeitError, match="is the input"):
        make(faces, faces, existing=existing)
    with pytest.raises(FakeitError, match="which is no part of a dataset"):
        make(other, faces, existing=existing)
    assert sorted(faces.rglob("*")) == before


def test_filling_in_never_costs_the_dataset_it_reads(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", missing=0.3)
    (tmp_path / "link").symlink_to(dataset)
    before = {p: p.read_bytes() for p in dataset.rglob("*") if p.is_file()}

    def train(where: str, name: str) -> str:
        raise AssertionError("nothing is trained before the arguments are checked")

    for output in (dataset, tmp_path / "link", tmp_path):
        with pytest.raises(FakeitError, match="is the input"):
            fill_in(str(dataset), str(output), str(tmp_path / "s"), train, HERE, FillConfig(), overwrite=True)
    taken = make_dataset(tmp_path / "taken")
    with pytest.raises(FakeitError, match="already holds a dataset; say --overwrite"):
        fill_in(str(dataset), str(taken), str(tmp_path / "s"), train, HERE, FillConfig())
    with pytest.raises(ZeroDivisionError):
        rewrite(str(dataset), str(taken), lambda rows, split: 1 // 0, HERE, lambda facts: {}, overwrite=True)  # type: ignore[arg-type,return-value]
    manifests.verify(str(taken), manifests.load(str(taken)).shards, hashes=True)
    assert before == {p: p.read_bytes() for p in dataset.rglob("*") if p.is_file()}


@pytest.mark.fault
def test_a_second_attempt_at_a_rewritten_shard_changes_nothing(tmp_path: Path) -> None:
    dataset, output = make_dataset(tmp_path / "d"), tmp_path / "o"

    def twice(function: Any, tasks: Any, progress: Any) -> list[Any]:
        again.append(lambda: function(tasks[0]))
        return [function(task) for task in tasks]

    def change(rows: Rows, split: str) -> tuple[Rows, Facts]:
        half = {"weight": rows["weight"] / 2}
        return {**rows, **half, "image": rows["image"] ^ 1 if calls else rows["image"]}, {}

    calls: list[int] = []
    again: list[Any] = []
    made = rewrite(str(dataset), str(output), change, twice, lambda facts: {}).manifest
    assert {s.row_weights for s in made.shards} == {2.5}
    calls.append(1)
    with pytest.raises(FileNotFoundError):  # nobody waits for it any more, and its folder is gone
        again[0]()
    manifests.verify(str(output), made.shards, hashes=True)
    assert {p.name for p in output.iterdir()} == {"train", "val", manifests.NAME}


def test_sources_are_known_by_what_paths_lead_to(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "soft.jpg").symlink_to(tmp_path / "a.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "hard.jpg")
    sources = Sources([str(tmp_path / "a.jpg")])
    for name in ("a.jpg", "soft.jpg", "hard.jpg", "./a.jpg"):
        with pytest.raises(FakeitError, match="would be destroyed; choose another folder"):
            sources.check(str(tmp_path / name))
    sources.check(str(tmp_path / "b.jpg"))


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "out/x.png", "C:\\x.png", "beside/x.png"])
def test_names_never_leave_their_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn2").mkdir()
    (tmp_path / "drawn" / "out").symlink_to(tmp_path)
    (tmp_path / "drawn" / "beside").symlink_to(tmp_path / "drawn2")  # whose name begins as the folder's does
    with pytest.raises(FakeitError, match="leads out of"):
        inside(str(tmp_path / "drawn"), name)
    assert inside(str(tmp_path / "drawn"), "a/x.png") == str(tmp_path / "drawn/a/x.png")

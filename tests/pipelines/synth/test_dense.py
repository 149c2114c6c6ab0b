"""Dense labels: the same places on every head, in camera coordinates; through a dataset turned, mirrored, cropped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fakeit.pipelines.dense_points import DENSE, dense_mirror, from_json, project, to_json
from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.faces.augment import AugmentConfig, Block
from fakeit.pipelines.faces.crop import from_unit, transform
from fakeit.pipelines.flows.preprocess import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SourceConfig, StoreConfig
from fakeit.pipelines.flows.synthesize import synthesize
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.store import manifest
from fakeit.pipelines.store.shards import read_shard
from fakeit.pipelines.synth.config import AccessoryConfig, CameraConfig, HairConfig, HeadConfig, LabelConfig
from fakeit.pipelines.synth.config import SynthesisConfig as Conf
from fakeit.pipelines.synth.face import Face, render
from fakeit.pipelines.synth.heads import load_head

Kind = Literal["builtin", "ict", "makehuman"]
KINDS = ["builtin", "ict", "makehuman"]
BARE = Conf(accessories=AccessoryConfig(0, 0, 0, 0, 0, 0), hair=HairConfig(bald=1, long=0, fringe=0))


def _head(kind: Kind, request: pytest.FixtureRequest) -> HeadConfig:
    file = str(request.getfixturevalue("shared") / "data/ict_face/ict_face.npz") if kind == "ict" else ""
    return HeadConfig(kind=kind, file=file)


@pytest.mark.parametrize("kind", KINDS)
def test_points_mirror_one_another(kind: Kind, request: pytest.FixtureRequest) -> None:
    config = _head(kind, request)
    head = load_head(config.kind, config.file)
    points, mirror = head.neutral[head.dense], dense_mirror()
    assert len(points) == DENSE == len(set(mirror.tolist()))
    assert np.array_equal(mirror[mirror], np.arange(DENSE))
    gap = np.linalg.norm(points[mirror] * [-1, 1, 1] - points, axis=1)
    assert gap.max() < (0.4 if kind == "builtin" else 0.05)  # a vertex of the mesh off


@pytest.mark.parametrize("kind", ["builtin", "makehuman"])
def test_points_mean_the_same_places_as_on_ict(kind: Kind, shared: Path) -> None:
    """Where a dense point lies among the 68 points: the same, within a share of the eyes' distance."""
    heads = [load_head("ict", str(shared / "data/ict_face/ict_face.npz")), load_head(kind)]
    places = []
    for head in heads:
        dense, points = head.neutral[head.dense], head.neutral[head.landmarks[:68]]
        away = np.linalg.norm(dense[:, None] - points[None, 17:], axis=2) / np.linalg.norm(points[45] - points[36])
        places.append(away)
    gap = np.abs(places[0] - places[1]).mean(axis=1)
    assert np.median(gap) < (0.12 if kind == "builtin" else 0.04)
    assert np.quantile(gap, 0.95) < (0.3 if kind == "builtin" else 0.08)


@pytest.mark.parametrize("kind", KINDS)
def test_they_project_to_where_the_70_points_lie(kind: Kind, request: pytest.FixtureRequest) -> None:
    """A dense point near the nose's tip is near point 30 in the picture, and the pose says how the head is turned."""
    conf = replace(BARE, head=_head(kind, request))
    head = load_head(conf.head.kind, conf.head.file)
    nearest = int(np.linalg.norm(head.neutral[head.dense] - head.neutral[head.landmarks[30]], axis=1).argmin())
    for index in range(6):
        face = render(index, 2, conf, 128)
        assert face.dense is not None
        at = project(face.dense)
        assert np.isfinite(at).all()
        assert np.linalg.norm(at[nearest] - face.landmarks[30]) < 8
        centre = face.landmarks[:68].mean(axis=0)
        assert np.linalg.norm(at.mean(axis=0) - centre) < 25
        assert np.allclose(face.dense.rotation @ face.dense.rotation.T, np.eye(3), atol=1e-4)
        assert np.linalg.det(face.dense.rotation) == pytest.approx(1, abs=1e-4)
        assert 5 < face.dense.translation[2] < 250 and np.linalg.norm(face.dense.gaze) == pytest.approx(1, abs=1e-3)


def test_a_head_that_looks_ahead_is_not_turned() -> None:
    still = replace(BARE, camera=CameraConfig(yaw_sd=0, pitch_sd=0, roll_sd=0))
    face = render(1, 1, still, 96)
    assert face.dense is not None
    assert np.allclose(face.dense.rotation, np.eye(3), atol=1e-6)
    assert face.dense.points[:, 2].min() > 10  # before the camera
    left = dense_mirror() > np.arange(DENSE)
    assert face.dense.points[left, 0].mean() < face.dense.points[dense_mirror()[left], 0].mean()


def test_the_far_side_and_what_is_covered_is_hidden() -> None:
    turned = replace(BARE, camera=CameraConfig(yaw_sd=60, pitch_sd=0, roll_sd=0))
    mirror = dense_mirror()
    left = np.arange(DENSE) < mirror
    shares = []
    for index in range(10):
        dense = _dense(render(index, 1, turned, 128))
        yaw = np.degrees(np.arctan2(dense.rotation[0, 2], dense.rotation[2, 2]))
        seen = [np.mean(dense.visibility[side] == 2) for side in (left, ~left & (mirror != np.arange(DENSE)))]
        if abs(yaw) > 40:
            shares.append(seen if yaw < 0 else seen[::-1])
    assert shares and max(abs(a - b) for a, b in shares) > 0.3
    assert len({a > b for a, b in shares}) == 1  # always the same side of the turn
    masked = replace(BARE, accessories=replace(BARE.accessories, mask=1.0))
    bare, worn = _dense(render(3, 1, BARE, 128)), _dense(render(3, 1, masked, 128))
    assert (worn.visibility == 1).sum() > (bare.visibility == 1).sum() + 30
    assert np.array_equal(bare.points, worn.points)


def _dense(face: Face) -> Any:
    assert face.dense is not None
    return face.dense


def test_a_child_is_told_in_its_own_size() -> None:
    from fakeit.pipelines.synth.config import PeopleConfig

    sizes = {}
    for name, people in (("babies", PeopleConfig(babies=1, children=0, old=0)), ("adults", PeopleConfig(0, 0, 0))):
        conf = replace(BARE, head=HeadConfig(kind="makehuman"), people=people)
        sizes[name] = np.mean([np.ptp(_dense(render(i, 1, conf, 64)).points, axis=0).max() for i in range(4)])
    assert sizes["babies"] < 0.85 * sizes["adults"]


def test_switched_off_they_are_left_out() -> None:
    face, bare = render(2, 1, BARE, 64), render(2, 1, replace(BARE, labels=LabelConfig(dense=False)), 64)
    assert bare.dense is None and face.dense is not None
    assert np.array_equal(face.image, bare.image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dense") / "faces"
    synthesize(replace(BARE, head=HeadConfig(kind="makehuman")), 6, 96, 1, str(place), runners.in_processes(0))
    return place


def test_a_file_of_its_own_beside_the_layout(folder: Path) -> None:
    assert len(list(folder.glob("*_dense.json"))) == 6
    plain, dense = (open_source("face_synthetics", str(folder), **o) for o in ({}, {"dense": True}))
    assert [s.id for s in plain.samples()] == [s.id for s in dense.samples()] == [f"{i:06d}" for i in range(6)]
    sample = dense.samples()[2]
    assert plain.read(sample).dense is None
    read = dense.read(sample)
    labels = from_json((folder / "000002_dense.json").read_bytes(), "here")
    assert read.dense is not None and np.allclose(read.dense[:, :2], project(labels), atol=0.01)
    assert np.array_equal(read.dense_visibility, labels.visibility)
    assert to_json(labels) == (folder / "000002_dense.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.pop("gaze"), "field 'gaze' is missing"),
        (lambda v: v.update(points=v["points"][:5]), r"field 'points' has shape \(5, 3\)"),
        (lambda v: v["visibility"].__setitem__(0, 3), "field 'visibility'"),
        (lambda v: v.update(focal="wide"), "field 'focal'"),
        (lambda v: v["points"][3].__setitem__(2, -1.0), "field 'points' has points behind the camera"),
    ],
)
def test_a_bad_file_is_told(folder: Path, change: Any, told: str) -> None:
    value = json.loads((folder / "000001_dense.json").read_bytes())
    change(value)
    with pytest.raises(Rejected, match=f"x_dense.json: {told}"):
        from_json(json.dumps(value).encode(), "x_dense.json")


def test_a_missing_file_is_told(folder: Path, tmp_path: Path) -> None:
    for name in ("000000.png", "000000_ldmks.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    source = open_source("face_synthetics", str(tmp_path), dense=True)
    with pytest.raises(Rejected, match="000000_dense.json: cannot be read"):
        source.read(source.samples()[0])


AUGMENT = AugmentConfig(
    variants=6,
    rotation=Block((-30, 30)),
    scale=Block((0.9, 1.1)),
    shift=Block((-0.05, 0.05)),
    perspective=Block((0.0, 0.1)),
    flip=Block((0, 0), 0.5),
)


def _config(dense: bool) -> PreprocessConfig:
    source = SourceConfig(kind="face_synthetics", options={"dense": True} if dense else {})
    return PreprocessConfig(source=source, augment=AUGMENT, store=StoreConfig(rows_per_shard=64))


def test_a_dataset_takes_them_along(folder: Path, tmp_path: Path) -> None:
    """In every variant a dense point goes through the same turn, mirror and crop as the 70."""
    made = preprocess(_config(True), str(folder), str(tmp_path / "d"), runners.in_processes(0)).manifest
    found = manifest.load(str(tmp_path / "d"))
    assert found.shape.dense == DENSE and found == made
    source = open_source("face_synthetics", str(folder), dense=True)
    known = {sample.id: source.read(sample) for sample in source.samples()}
    flipped = 0
    for shard in found.shards:
        rows = read_shard(str(tmp_path / "d" / shard.path), found.shape)
        assert rows["dense"].shape == (shard.rows, DENSE, 3)
        for row in range(shard.rows):
            label = known[rows["image_id"][row]]
            assert label.dense is not None and label.dense_visibility is not None
            back = rows["source_from_crop"][row]
            mirrored = np.linalg.det(back) < 0
            flipped += mirrored
            order = dense_mirror() if mirrored else np.arange(DENSE)
            at = transform(from_unit(rows["dense"][row, :, :2], found.shape.size), back)
            assert np.abs(at - label.dense[order, :2]).max() < 0.05
            assert np.array_equal(rows["dense"][row, :, 2], label.dense[order, 2])
            assert np.array_equal(rows["dense_visibility"][row], label.dense_visibility[order])
    assert 0 < flipped < found.rows("train")


def test_without_them_a_dataset_is_what_it_was(folder: Path, tmp_path: Path) -> None:
    preprocess(_config(False), str(folder), str(tmp_path / "a"), runners.in_processes(0))
    for file in folder.glob("*"):
        if not file.name.endswith("_dense.json"):
            (tmp_path / "bare").mkdir(exist_ok=True)
            (tmp_path / "bare" / file.name).write_bytes(file.read_bytes())
    preprocess(_config(False), str(tmp_path / "bare"), str(tmp_path / "b"), runners.in_processes(0))
    first, second = manifest.load(str(tmp_path / "a")), manifest.load(str(tmp_path / "b"))
    assert first.shape.dense == 0 and first.digest == second.digest

"""Who trains and who tests: groups stay together, official lists closed; only names below the input mean anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SourceConfig, SplitConfig, StoreConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks, straddling
from fakeit.pipelines.flows.shard_task import ShardTask
from fakeit.pipelines.sources import Sample, open_source
from fakeit.pipelines.sources.ibug import subset_of
from tests.pipelines.files.test_walking import POINTS, put, put_faces

CONFIG = PreprocessConfig(source=SourceConfig("300w"), split=SplitConfig(0.2, 0.2))


def splits(tasks: list[ShardTask]) -> dict[str, str]:
    return {sample.id: task.split for task in tasks for sample in task.samples}


@pytest.mark.parametrize("around", ["ibug", "trainset", "indoor", "testset"])
def test_folders_around_the_input_mean_nothing(tmp_path: Path, around: str) -> None:
    put_faces(tmp_path / around / "faces", "mine/1", "lfpw/testset/2", "ibug/3", "01_Indoor/4", "indoor_plants/5")
    samples = open_source("300w", str(tmp_path / around / "faces")).samples()
    assert [s.attributes["subset"] for s in samples] == ["private", "challenging", "train", "common", "train"]


def test_a_subset_may_be_named(tmp_path: Path) -> None:
    put_faces(tmp_path, "1")
    (sample,) = open_source("300w", str(tmp_path), subset="challenging").samples()
    assert sample.split == "test" and sample.attributes == {"subset": "challenging"}
    with pytest.raises(FakeitError, match="did you mean 'challenging'"):
        open_source("300w", str(tmp_path), subset="challengin")
    assert subset_of("trainset/ibug/../x") == "challenging"


def test_frames_of_one_video_stay_together(tmp_path: Path) -> None:
    for video in range(12):
        for frame in range(1, 9):
            put(tmp_path, f"{video:03d}/{frame:06d}.jpg")
            put(tmp_path, f"{video:03d}/annot/{frame:06d}.pts", data=f"{{{POINTS}}}".encode())
    source = open_source("300vw", str(tmp_path))
    found = splits(plan_tasks(source.samples(), source, CONFIG))
    assert len(found) == 96 and set(found.values()) == {"train", "val", "test"}
    for video in range(12):
        assert len({split for name, split in found.items() if name.startswith(f"{video:03d}/")}) == 1


def test_people_stay_together(tmp_path: Path) -> None:
    names = [f"images/Person_{p}_{f:02d}.jpg" for p in range(30) for f in range(4)]
    put(tmp_path, *names)
    head = "image," + ",".join(f"{axis}{i}" for i in range(68) for axis in "xy") + "\n"
    line = "," + ",".join(POINTS.split()) + "\n"
    (tmp_path / "keypoints.csv").write_text(head + "".join(n.removeprefix("images/") + line for n in names))
    source = open_source("youtube_faces", str(tmp_path))
    found = splits(plan_tasks(source.samples(), source, CONFIG))
    assert len(found) == 120 and set(found.values()) == {"train", "val", "test"}
    assert all(len({found[f"images/Person_{p}_{f:02d}"] for f in range(4)}) == 1 for p in range(30))


def test_nobody_joins_an_official_test(tmp_path: Path) -> None:
    put_faces(tmp_path, *(f"lfpw/trainset/{i}" for i in range(40)), *(f"lfpw/testset/{i}" for i in range(5)))
    source = open_source("300w", str(tmp_path))
    found = splits(plan_tasks(source.samples(), source, CONFIG))
    assert {name for name, split in found.items() if split == "test"} == {f"lfpw/testset/{i}" for i in range(5)}
    assert "val" in found.values()


def test_a_group_in_two_splits_is_never_let_through() -> None:
    source = open_source("300w", "nowhere")
    one, two = Sample("a", "a.jpg"), Sample("a:1", "a.jpg", group="a")
    tasks = [ShardTask("x", "train", (one,), source, CONFIG), ShardTask("y", "test", (two,), source, CONFIG)]
    with pytest.raises(FakeitError, match="'a' would stand in train and test"):
        straddling(tasks)
    official = [replace(t, samples=tuple(replace(s, split=t.split) for s in t.samples)) for t in tasks]
    assert straddling(official) == ["a"]


def test_shards_that_could_not_be_written_are_refused_before_a_picture_is_read() -> None:
    samples = [Sample(f"{number}", f"/f/{number}.png") for number in range(1000)]
    source, own = open_source("ffhq", "/f"), SplitConfig(0, 0)
    large = replace(CONFIG, split=own, crop=CropConfig(size=1024))
    with pytest.raises(FakeitError, match=r"'image' would hold 1,000 rows of 3,145,856 bytes.*: say 341 or less"):
        plan_tasks(samples, source, large)
    assert len(plan_tasks(samples, source, replace(large, store=StoreConfig(rows_per_shard=341)))) == 3
    assert len(plan_tasks(samples, source, replace(large, store=StoreConfig(image_codec="png")))) == 1

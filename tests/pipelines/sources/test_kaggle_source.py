"""The competition's CSV files: what is read, what is refused and in which words, and what becomes of gaps."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakeit.pipelines.config import load
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.flows import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.landmarks import KAGGLE_NAMES
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import open_source, read_sample
from fakeit.pipelines.sources.kaggle import Kaggle
from fakeit.pipelines.sources.kaggle_tables import COORDINATES, member, read_lookup
from fakeit.pipelines.store.shards import read_shard

ROOT = Path(__file__).resolve().parents[3]


def write_set(folder: Path, rows: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    """A folder in the competition's format with noise for faces; of three rows two have 4 points."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (rows, 96, 96), dtype=np.uint8)
    points = random.uniform(10, 86, (rows, 15, 2)).round(3)
    for row in range(rows):
        if row % 3:
            points[row, 2:10] = np.nan
            points[row, 11:14] = np.nan
    folder.mkdir(parents=True, exist_ok=True)

    def line(row: int) -> str:
        coordinates = ",".join("" if np.isnan(v) else f"{v:.10g}" for v in points[row].ravel())
        return f"{coordinates},{' '.join(map(str, images[row].ravel()))}"

    lines = [",".join([*COORDINATES, "Image"]), *(line(row) for row in range(rows))]
    (folder / "training.csv").write_text("\n".join(lines) + "\n")
    tests = [f"{row + 1},{' '.join(map(str, images[row].ravel()))}" for row in range(4)]
    (folder / "test.csv").write_text("\n".join(["ImageId,Image", *tests]) + "\n")
    return {"images": images, "points": points}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("kaggle")
    return folder, write_set(folder)


def test_reads_what_was_written(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, truth = made
    source = open_source("kaggle", str(folder))
    samples = source.samples()
    assert len(samples) == 60
    for index in (0, 1, 59):
        annotation = source.read(samples[index])
        np.testing.assert_allclose(annotation.landmarks, truth["points"][index], rtol=1e-6)
        assert (annotation.visibility == np.where(np.isfinite(truth["points"][index, :, 0]), 2, 0)).all()
        image = source.image(samples[index])
        assert image.shape == (96, 96, 3)
        assert (image == truth["images"][index][..., None]).all()


def test_blocks_of_neighbours_share_a_split(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    samples = Kaggle(str(made[0]), block=10, val=0.34).samples()
    blocks = [{s.split for s in samples[i : i + 10]} for i in range(0, 60, 10)]
    assert all(len(b) == 1 for b in blocks)
    assert {"val"} in blocks and {"train"} in blocks


def test_gaps_dropped_and_carried_forward_in_training_rows_alone(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, truth = made
    dropped = Kaggle(str(folder), gaps="drop", block=10, val=0.34).samples()
    assert all(s.attributes["points"] == 15 for s in dropped if s.split == "train")
    assert any(s.attributes["points"] == 4 for s in dropped if s.split == "val")
    forward = Kaggle(str(folder), gaps="forward", block=10, val=0.34)
    for sample in forward.samples():
        annotation, row = forward.read(sample), sample.annotation.number - 1
        if sample.split == "val":
            assert (annotation.weight is None) and np.isnan(annotation.landmarks).any() == bool(row % 3)
        else:
            above = row - row % 3  # the last complete row
            np.testing.assert_allclose(annotation.landmarks[2], truth["points"][above, 2], rtol=1e-6)
            assert annotation.weight is not None and (annotation.weight == 1).all()
            assert (annotation.visibility[2] == 0) == bool(row % 3)


def test_the_crop_of_a_whole_picture_is_the_picture(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    folder, truth = made
    config = load(ROOT / "conf/preprocess/kaggle.toml", PreprocessConfig)
    out = preprocess.preprocess(config, str(folder), str(tmp_path / "data"), runners.in_processes(0))
    shard = out.manifest.of("train")[0]
    rows = read_shard(str(tmp_path / "data" / shard.path), out.manifest.shape)
    for image_id, image, points in zip(rows["image_id"][:5], rows["image"], rows["landmarks"], strict=False):
        index = int(image_id.split("-")[1]) - 1
        assert (image[..., 0] == truth["images"][index]).all()
        np.testing.assert_allclose(points * 96 - 0.5, truth["points"][index], atol=1e-3)


def test_resume_makes_anew_what_a_corrected_solution_changes(tmp_path: Path) -> None:
    write_set(tmp_path / "set", rows=20)
    names = [f"{i + 1},{i // 30 + 1},{COORDINATES[i % 30]}," for i in range(120)]
    (tmp_path / "set/IdLookupTable.csv").write_text("\n".join(["RowId,ImageId,FeatureName,Location", *names]) + "\n")
    options = {"solution": "solution.csv", "val": 0.0}
    config = load(ROOT / "conf/preprocess/kaggle.toml", PreprocessConfig)
    config = replace(config, source=replace(config.source, options=options))
    for value in (20.0, 40.0):
        rows = [f"{i + 1},{value + i % 30}" for i in range(120)]
        (tmp_path / "set/solution.csv").write_text("\n".join(["RowId,Location", *rows]) + "\n")
        place = str(tmp_path / "data")
        made = preprocess.preprocess(config, str(tmp_path / "set"), place, runners.in_processes(0), "resume").manifest
        held = read_shard(f"{place}/{made.of('test')[0].path}", made.shape)
        np.testing.assert_allclose(held["landmarks"][0].ravel() * 96 - 0.5, value + np.arange(30), atol=1e-3)
        time.sleep(0.02)  # so that the file's time tells the two apart


def _damage(folder: Path, target: Path, change: Callable[[list[str]], list[str]]) -> Kaggle:
    lines = (folder / "training.csv").read_text().splitlines()
    target.mkdir()
    (target / "training.csv").write_text("\n".join(change(lines)) + "\n")
    return Kaggle(str(target))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda row: row.split(",", 3)[3], "row 2: 28 columns, expected 31"),
        (lambda row: row.rsplit(" ", 1)[0], "row 2: 9,215 pixels in column 'Image', expected 9,216"),
        (lambda row: row.rsplit(" ", 1)[0] + " 12x", "row 2: pixel 9215 is '12x', expected a whole number"),
        (lambda row: row.rsplit(" ", 1)[0] + " 256", "row 2: pixel 9215 is 256, expected 0 to 255"),
        (
            lambda row: "abc," + row.split(",", 1)[1],
            "column 'left_eye_center_x' is 'abc', expected a number",
        ),
        (
            lambda row: "1e31," + row.split(",", 1)[1],
            "column 'left_eye_center_x' is '1e31', expected a number",
        ),
        (lambda row: "300," + row.split(",", 1)[1], "row 2: point 0 at (300,"),
    ],
    ids=["short row", "9215 pixels", "letters in pixels", "256", "letters", "too large", "far outside"],
)
def test_a_bad_row_is_one_line_with_file_and_row(
    made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    source = _damage(made[0], tmp_path / "bad", lambda lines: [*lines[:2], change(lines[2]), *lines[3:]])
    good, bad = 0, []
    for sample in source.samples():
        try:
            read_sample(source, sample)
            good += 1
        except Rejected as reason:
            bad.append(str(reason))
    assert good == 59 and len(bad) == 1
    assert message in bad[0] and "training.csv, row 2" in bad[0] and "\n" not in bad[0]


def _quoted(line: str) -> str:
    return ",".join(f'"{field}"' for field in line.split(","))


def _gaps_said(said: str) -> Callable[[str], str]:
    return lambda text: "\n".join(
        ",".join(field or said for field in line.split(",")) for line in text.split("\n")[:-1]
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n  \t\n\r\n",
        lambda text: "\ufeff" + text,
        lambda text: "\n".join(map(_quoted, text.splitlines())),
        *map(_gaps_said, ("NA", "NaN", "null", '""', " ")),
    ],
    ids=["Windows", "no end", "blank lines", "mark", "quotes", "NA", "NaN", "null", "empty quotes", "blanks"],
)
def test_what_other_programs_make_of_the_file_is_the_same_set(
    made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, change: Callable[[str], str]
) -> None:
    """Quotes, R's NA and a last line of blanks were rejected, row by row."""
    folder, truth = made
    for name in ("training.csv", "test.csv"):
        (tmp_path / name).write_bytes(change((folder / name).read_text()).encode())
    source, test = Kaggle(str(tmp_path)), Kaggle(str(tmp_path / "test.csv"))
    read = [read_sample(source, sample) for sample in source.samples()]
    np.testing.assert_allclose([annotation.landmarks for annotation, _ in read], truth["points"], rtol=1e-6)
    assert (np.stack([picture[..., 0] for _, picture in read]) == truth["images"]).all()
    assert [test.image_id(sample) for sample in test.samples()] == [1, 2, 3, 4]
    assert (test.image(test.samples()[3])[..., 0] == truth["images"][3]).all()


def test_a_column_that_is_there_twice_is_named(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """Each of 7,049 rows was rejected for its 32 columns instead."""
    source = _damage(made[0], tmp_path / "bad", lambda ls: [f"nose_tip_x,{ls[0]}", *(f"1,{row}" for row in ls[1:])])
    with pytest.raises(FakeitError, match="training.csv, header: column 'nose_tip_x' is there 2 times, expected once"):
        source.samples()


def test_a_missing_column_is_named(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    source = _damage(made[0], tmp_path / "bad", lambda ls: [ls[0].replace("nose_tip_x", "nose_top_x"), *ls[1:]])
    with pytest.raises(FakeitError, match="training.csv, header: column 'nose_tip_x' is missing; did you mean"):
        source.samples()


def test_a_folder_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match=r"no training\.csv in it"):
        Kaggle(str(tmp_path)).samples()
    with pytest.raises(FakeitError, match="'gaps' is 'dorp'.*did you mean 'drop'"):
        open_source("kaggle", str(tmp_path), gaps="dorp")


def test_an_unknown_feature_in_the_lookup_is_named(tmp_path: Path) -> None:
    table = tmp_path / "IdLookupTable.csv"
    table.write_text("RowId,ImageId,FeatureName,Location\n1,1,nose_tip_x,\n2,1,nose_tip_z,\n")
    with pytest.raises(FakeitError, match=r"IdLookupTable.csv, row 2: unknown feature 'nose_tip_z'; did you mean"):
        read_lookup(str(table))


LOOKUP_TEXT = "RowId,ImageId,FeatureName,Location\n1,1,nose_tip_x,\n2,1,nose_tip_y,\n"


@pytest.mark.parametrize("text", [
    LOOKUP_TEXT + "\n", LOOKUP_TEXT.replace("\n", "\r\n") + "\r\n", LOOKUP_TEXT + "  \n,,,\n",
    "\n".join(map(_quoted, LOOKUP_TEXT.splitlines())),
    '"RowId","ImageId","FeatureName"\n1,1,"nose_tip_x"\n2,1,"nose_tip_y"',
])  # fmt: skip
def test_a_lookup_with_blank_lines_or_quotes_is_taken(tmp_path: Path, text: str) -> None:
    """A blank last line was "row 3: 1 columns, expected 4"."""
    (tmp_path / "IdLookupTable.csv").write_bytes(text.encode())
    asked = [(e.row_id, e.image_id, COORDINATES[e.coordinate]) for e in read_lookup(f"{tmp_path}/IdLookupTable.csv")]
    assert asked == [(1, 1, "nose_tip_x"), (2, 1, "nose_tip_y")]


@pytest.mark.parametrize("text, message", [
    (LOOKUP_TEXT + "1,2,nose_tip_x,\n", "row 3: RowId 1 is row 1's already"),
    (LOOKUP_TEXT.splitlines()[0] + "\n", "IdLookupTable.csv: no rows"),
])  # fmt: skip
def test_a_lookup_that_would_make_a_void_submission_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "IdLookupTable.csv").write_text(text)
    with pytest.raises(FakeitError, match=message):
        read_lookup(str(tmp_path / "IdLookupTable.csv"))


def test_the_folder_as_kaggle_delivers_it(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """The two large files come as training.zip and test.zip; the folder was refused: "no training.csv in it"."""
    folder, truth = made
    kaggle = tmp_path / "kaggle"
    kaggle.mkdir()
    for name in ("training", "test"):
        with zipfile.ZipFile(kaggle / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(folder / f"{name}.csv", f"{name}.csv")
    source = Kaggle(str(kaggle))
    assert len(source.samples()) == 60
    assert (source.image(source.samples()[7])[..., 0] == truth["images"][7]).all()
    assert member(str(kaggle), "test.csv") == f"{kaggle}/test.zip!/test.csv"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(kaggle / "training.zip", "training.zip")
    with pytest.raises(FakeitError, match="training.zip is an archive in an archive; unpack .*all.zip"):
        Kaggle(str(tmp_path / "all.zip")).samples()


def test_two_files_of_one_name_are_not_chosen_from(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.csv").write_bytes((made[0] / "training.csv").read_bytes())
    with pytest.raises(FakeitError, match="holds a/training.csv and b/training.csv; name the folder of one"):
        Kaggle(str(tmp_path)).samples()


def test_the_real_lookup_table(shared: Path) -> None:
    entries = read_lookup(str(shared / "data/formats/kaggle/IdLookupTable.csv"))
    assert len(entries) == 27124
    assert (entries[0].row_id, entries[0].image_id, entries[0].coordinate) == (1, 1, 0)
    assert len({e.image_id for e in entries}) == 1783
    assert {e.coordinate for e in entries} == set(range(2 * len(KAGGLE_NAMES)))


def test_damaged_rows_fail_the_job_with_their_names(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    source = _damage(made[0], tmp_path / "bad", lambda ls: [ls[0], ls[1].rsplit(" ", 1)[0], *ls[2:]])
    config = load(ROOT / "conf/preprocess/kaggle.toml", PreprocessConfig)
    with pytest.raises(FakeitError, match="1 of 60 samples were rejected(.|\n)*training.csv, row 1: 9,215 pixels"):
        preprocess.preprocess(config, source.path, str(tmp_path / "data"), runners.in_processes(0))

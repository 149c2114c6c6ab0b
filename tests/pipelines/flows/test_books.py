"""Nothing is lost: every picture and every annotation is used, rejected with its reason, or counted with its name."""

from __future__ import annotations

import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.flows import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SourceConfig, StoreConfig
from fakeit.pipelines.flows.tally import Tally
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import SampleList, Source, open_source, read_sample
from fakeit.pipelines.sources.folder import point_columns
from tests.pipelines.files.test_walking import PICTURE, POINTS, put, put_faces

FIVE = [(5, 5), (30, 6), (18, 20), (8, 30), (28, 31)]


def row(name: str, shift: float = 0) -> str:
    return name + "".join(f",{x + shift},{y + shift}" for x, y in FIVE) + "\n"


HEADER = "image," + ",".join(f"{axis}{i}" for i in range(5) for axis in "xy") + "\n"


def folder(path: Path, text: str | bytes, **options: str) -> tuple[Source, SampleList]:
    path.joinpath("p.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    source = open_source("folder", str(path), scheme="five", points="p.csv", **options)
    return source, source.samples()


def kinds(samples: SampleList) -> dict[str, int]:
    return {kind: sum(u.kind == kind for u in samples.unmatched) for kind in {u.kind for u in samples.unmatched}}


def test_rows_and_pictures_that_find_nobody_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.PNG", "c.bmp", "d.heic")
    source, samples = folder(tmp_path, HEADER + row("a.png") + row("b.PNG") + row("absent.png"))
    assert [s.id for s in samples] == ["a", "b"]
    assert kinds(samples) == {"pictures without points": 2, "rows without a picture": 1}


def test_two_rows_of_a_picture_are_two_faces_in_one_split(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    source, samples = folder(tmp_path, HEADER + row("a.png") + row("a.png", 3) + row("a.png"))
    assert [(s.id, s.group) for s in samples] == [("a", ""), ("a:1", "a")]
    shift = source.read(samples[1]).landmarks - source.read(samples[0]).landmarks
    assert np.allclose(shift, 3)
    assert kinds(samples) == {"rows that repeat another": 1}


def test_one_base_name_in_two_folders_is_nobodys(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    _, samples = folder(tmp_path, HEADER + row("1.png") + row("2.png") + row("a/1.png", 2))
    assert sorted(s.id for s in samples) == ["a/1", "b/2"]
    assert kinds(samples) == {"rows that name several pictures": 1, "pictures without points": 1}


@pytest.mark.parametrize("name", ["./a/É.png", "a\\É.png", unicodedata.normalize("NFD", "a/É.png"), "A/É.PNG"])
def test_names_as_lists_write_them(tmp_path: Path, name: str) -> None:
    put(tmp_path, unicodedata.normalize("NFC", "a/É.png"))
    _, samples = folder(tmp_path, HEADER + row(name))
    assert len(samples) == 1 and not samples.unmatched


def test_a_line_in_latin_1_and_one_with_a_stray_quote(tmp_path: Path) -> None:
    put(tmp_path, "größe.png", "b.png", "c.png")
    text = (HEADER + row("größe.png")).encode("latin-1") + ('"' + row("b.png") + row("c.png")).encode()
    source, samples = folder(tmp_path, text)
    assert len(samples) == 3
    good, bad = [s for s in samples if not s.problem], [s for s in samples if s.problem]
    assert {s.id for s in good} == {"größe", "c"}
    with pytest.raises(Rejected, match="p.csv:3: no row of a CSV file"):
        read_sample(source, bad[0])


def test_columns_are_found_by_their_names() -> None:
    names = HEADER.strip().split(",")
    turned = ["image", *names[1::2], *names[2::2]]
    image, order = point_columns(turned, "five", "x")
    assert [turned[i] for i in order] == names[1:]
    last = [*(f"landmark_{i + 1}_{axis}" for axis in "yx" for i in range(5)), "file_name"]
    image, order = point_columns(last, "five", "x")
    assert image == 10 and [last[i] for i in order][:2] == ["landmark_1_x", "landmark_1_y"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (row("a.png"), ":1: no header, a face stands in the first line"),
        (HEADER.replace("x0", "left"), "do not say which point they are"),
        (HEADER.replace("x0", "x1"), "do not say which point they are"),
        ("", ":1: 0 columns"),
        ("image,x0\n", ":1: 2 columns"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused(tmp_path: Path, text: str, words: str) -> None:
    put(tmp_path, "a.png")
    with pytest.raises(FakeitError, match=words):
        folder(tmp_path, text)


def test_the_table_may_lie_in_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("a.png", PICTURE)
        archive.writestr("p.csv", HEADER + row("a.png"))
    source = open_source("folder", str(tmp_path / "faces.zip"), scheme="five", points="p.csv")
    (sample,) = source.samples()
    assert np.allclose(read_sample(source, sample)[0].landmarks, FIVE)


def test_pts_in_any_case_and_the_picture_that_is_preferred(tmp_path: Path) -> None:
    put_faces(tmp_path, "1")
    put(tmp_path, "2.PNG", "3.png", "3.bmp", "4.webp", "5.png")
    data = f"n_points: 68\n{{\n{POINTS}}}".encode()
    put(tmp_path, "2.PTS", "3.pts", "4.pts", "6.pts", data=data)
    samples = open_source("300w", str(tmp_path)).samples()
    assert [(s.id, s.image.rsplit(".")[-1]) for s in samples] == [
        ("1", "jpg"),
        ("2", "PNG"),
        ("3", "png"),
        ("4", "webp"),
    ]
    assert kinds(samples) == {"pictures without points": 2, "points without a picture": 1}


def test_a_frame_that_is_there_twice_is_counted(tmp_path: Path) -> None:
    put(tmp_path, "1/000001.jpg", "1/imgs/000001.png", "2/a.avi", "2/b.avi")
    put(tmp_path, "1/annot/000001.pts", "2/annot/000001.pts", data=f"{{{POINTS}}}".encode())
    samples = open_source("300vw", str(tmp_path)).samples()
    assert [s.id for s in samples] == ["1/000001", "2/000001"]
    assert kinds(samples) == {"pictures without points": 1, "videos without points": 1}


def test_points_of_face_synthetics_without_a_picture(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.jpg", "3.heic")
    put(tmp_path, "1_ldmks.txt", "2_ldmks.txt", "4_ldmks.txt", data=(POINTS + "1 1\n2 2\n").encode())
    samples = open_source("face_synthetics", str(tmp_path)).samples()
    assert [s.id for s in samples] == ["1", "2"]
    assert kinds(samples) == {"pictures without points": 1, "points without a picture": 1}


@pytest.mark.parametrize("held", ["5.png", "5.jpg", "5_ldmks.txt", ""])
def test_of_several_folders_one_without_a_face_is_named(held: str, tmp_path: Path) -> None:
    """It was left out without a word, its files in no book."""
    put(tmp_path / "good", "1.png")
    put(tmp_path / "good", "1_ldmks.txt", data=(POINTS + "1 1\n2 2\n").encode())
    (tmp_path / "odd").mkdir()
    put(tmp_path / "odd", *[held] * bool(held))
    with pytest.raises(FakeitError, match=r"odd: no pairs of NNNNNN\.png and NNNNNN_ldmks\.txt; is it"):
        open_source("face_synthetics", f"{tmp_path}/good,{tmp_path}/odd").samples()


def _wflw(folder: Path, *lines: str) -> tuple[Source, SampleList]:
    put(folder, "WFLW_images/p/1.jpg", "WFLW_images/p/2.jpg")
    place = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt"
    put(folder, place, data="\n".join(lines).encode())
    source = open_source("wflw", str(folder))
    return source, source.samples()


def test_attributes_as_tools_write_them(tmp_path: Path) -> None:
    points = " ".join(f"{3 + 2 * (i % 14)} {3 + 3 * (i // 14)}" for i in range(98))
    more = " ".join(f"{4 + 2 * (i % 14)} {3 + 3 * (i // 14)}" for i in range(98))
    source, samples = _wflw(
        tmp_path, f"{points} 2 2 32 30 1.0 0 0.0 0 1 0 p/1.jpg", f"{points} 2 2 32 30 x 0 0 0 1 0 p/2.jpg",
        f"{more} 2 2 32 30 1 0 0 0 1 0 ../../../etc/hostname", f"{more} 2 2 nan inf 1 0 0 0 1 0 p/2.jpg",
    )  # fmt: skip
    assert samples[0].attributes["pose"] == 1
    assert read_sample(source, samples[0])[0].box == (2, 2, 30, 28)
    for sample, words in ((samples[1], "train.txt:2: attributes 'x 0"), (samples[2], "train.txt:4: expected 4 finite")):
        with pytest.raises(Rejected, match=words):
            read_sample(source, sample)
    assert kinds(samples) == {"rows without a picture": 1}


def test_a_face_that_a_wflw_list_repeats_is_counted(tmp_path: Path) -> None:
    """It was one with the first, and no book had the line."""
    points = " ".join(f"{3 + 2 * (i % 14)} {3 + 3 * (i // 14)}" for i in range(98))
    line = f"{points} 2 2 32 30 1 0 0 0 1 0 p/1.jpg"
    for name, lines in (("rect_attr_test", [line]), ("test_blur", [line.replace(" 2 2 32 30 1 0 0 0 1 0", "")])):
        put(tmp_path, f"WFLW_annotations/list_98pt_{name}.txt", data="\n".join(lines).encode())
    _, samples = _wflw(tmp_path, line, line.replace("1.jpg", "2.jpg"), line.replace("1.jpg", "2.jpg"))
    assert [(s.id, s.split, s.attributes["blur"]) for s in samples] == [
        ("p/1.jpg:0", "test", 1),
        ("p/2.jpg:0", "train", 0),
    ]
    repeated = [u.name.rsplit("/", 1)[1] for u in samples.unmatched]
    assert repeated == ["list_98pt_rect_attr_train.txt:1)", "list_98pt_rect_attr_train.txt:3)"]
    assert kinds(samples) == {"rows that repeat another": 2}


def test_a_face_that_mmlab_lists_repeat_is_counted_and_stays_in_test(tmp_path: Path) -> None:
    """A repeated line made a second row, and a line in both lists put its face into train and test."""
    put(tmp_path, "lfw/1.jpg", "lfw/2.jpg")
    one, two = (f"lfw\\{n}.jpg 2 32 2 30 5 5 30 6 18 20 8 30 28 31" for n in (1, 2))
    put(tmp_path, "trainImageList.txt", data="\r\n".join([one, two, two, two.replace("31", "30")]).encode())
    put(tmp_path, "testImageList.txt", data=one.encode())
    samples = open_source("mmlab", str(tmp_path)).samples()
    assert [(s.id, s.split, s.group) for s in samples] == [
        ("test/lfw/1.jpg", "test", "lfw/1.jpg"),
        ("train/lfw/2.jpg", "train", "lfw/2.jpg"),
        ("train/lfw/2.jpg:1", "train", "lfw/2.jpg"),
    ]
    assert [u.name.rsplit("/", 1)[1] for u in samples.unmatched] == ["trainImageList.txt:1)", "trainImageList.txt:3)"]
    assert kinds(samples) == {"rows that repeat another": 2}


def test_the_line_adds_up_and_stands_in_the_manifest(tmp_path: Path) -> None:
    put_faces(tmp_path / "faces", *map(str, range(6)))
    put(tmp_path / "faces", "9.jpg", "8.heic")
    put(tmp_path / "faces", "5.pts", data=b"n_points: 68\n{\n1 2\n}")
    put(tmp_path / "faces", "7.pts", data=b"n_points: 68\n{\n1 2\n}")
    config = PreprocessConfig(source=SourceConfig("300w"), store=StoreConfig(max_rejected=0.5))
    made = preprocess.preprocess(config, str(tmp_path / "faces"), str(tmp_path / "d"), runners.in_processes(0))
    line = made.tally.line()
    assert line.startswith(
        "found 9 = 5 used + 1 rejected + 3 unmatched (2 pictures without points: 8.heic, 9.jpg; 1 points"
    )
    assert made.manifest.unmatched["pictures without points"] == {"count": 2, "examples": ["8.heic", "9.jpg"]}
    with pytest.raises(FakeitError, match="1 are lost"):
        Tally(3, 1, 1)


def test_when_nothing_can_be_used_there_is_no_dataset(tmp_path: Path) -> None:
    put_faces(tmp_path / "faces", "1", "2")
    put(tmp_path / "faces", "1.jpg", "2.jpg", data=b"no picture")
    config = PreprocessConfig(source=SourceConfig("300w"), store=StoreConfig(max_rejected=1.0))
    with pytest.raises(FakeitError, match="none of 2 samples could be used"):
        preprocess.preprocess(config, str(tmp_path / "faces"), str(tmp_path / "d"), runners.in_processes(0))


def test_whatever_a_source_raises_is_a_rejection_of_that_sample(tmp_path: Path) -> None:
    put_faces(tmp_path, "1")
    source = open_source("300w", str(tmp_path))

    class Broken(type(source)):  # type: ignore[misc]
        def image(self, sample: object) -> np.ndarray:
            raise MemoryError("12 GB")

    with pytest.raises(Rejected, match=r"1\.pts: MemoryError: 12 GB"):
        read_sample(Broken(str(tmp_path)), source.samples()[0])
    sample = replace(source.samples()[0], problem="known already")
    with pytest.raises(Rejected, match="known already"):
        read_sample(source, sample)

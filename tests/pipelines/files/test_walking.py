"""Folders and archives as people have them: links, what systems leave behind, names that lead out or collide."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.files.file_names import JUNK, NameIndex, OutputNames, any_junk, climbs, is_junk, printable
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.pictures import drawn_names, expand
from fakeit.pipelines.files.storage import read_bytes, sweep, write_atomically
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.sources import open_source

PICTURE = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8))[1].tobytes()
POINTS = "".join(f"{5 + 3 * (i % 10)} {5 + 3 * (i // 10)}\n" for i in range(68))


def put(folder: Path, *names: str, data: bytes = PICTURE) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def put_faces(folder: Path, *stems: str) -> Path:
    for stem in stems:
        put(folder, f"{stem}.jpg")
        put(folder, f"{stem}.pts", data=f"version: 1\nn_points: 68\n{{\n{POINTS}}}\n".encode())
    return folder


@pytest.mark.parametrize("name", [*sorted(JUNK), *map(str.upper, sorted(JUNK)), "._1.png", ".ipynb_checkpoints"])
def test_what_systems_leave_is_seen_among_many(name: str) -> None:
    assert is_junk(name) and any_junk(["1.png", name, "2.png"]) and any_junk([name])
    assert not any_junk([f"a{name}", "1.png", "1_ldmks.txt"]) and not any_junk([])


def test_a_link_to_the_own_folder_is_walked_once(tmp_path: Path) -> None:
    put(tmp_path, *(f"a/{i}.png" for i in range(10)))
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "nothing.png").symlink_to(tmp_path / "absent.png")
    listing = list_inputs(str(tmp_path))
    assert listing.files == [f"a/{i}.png" for i in range(10)]
    assert {name for name, _ in listing.passed_over} == {"a/again", "b", "nothing.png"}
    samples = open_source("folder", str(tmp_path)).samples()
    assert len(samples) == 10 and "a link to" in " ".join(u.name for u in samples.unmatched)


def test_a_link_to_another_place_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "disk2", "1.png")
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "more").symlink_to(tmp_path / "disk2")
    assert list_inputs(str(tmp_path / "faces")).files == ["more/1.png"]


def test_a_link_to_itself_costs_itself_alone(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "a/2.png")
    for name in ("round.png", "a/round.png"):
        (tmp_path / name).symlink_to("round.png")
    samples = open_source("folder", str(tmp_path)).samples()
    assert [s.id for s in samples] == ["1", "a/2"]
    assert {u.name for u in samples.unmatched} == {
        "round.png (a link to nothing)",
        "a/round.png (a link to nothing)",
    }


def test_a_folder_that_may_not_be_read_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "1.png", "theirs/2.png")
    scandir = os.scandir

    def refusing(path: str) -> Any:  # root may read everything
        if path.endswith("theirs"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    samples = open_source("folder", str(tmp_path)).samples()
    assert [s.id for s in samples] == ["1"]
    told = "a folder that cannot be read: Permission denied"
    assert [(u.kind, u.name) for u in samples.unmatched] == [("names passed over", f"theirs ({told})")]
    asked = expand([str(tmp_path)])  # by `fakeit predict` and `fakeit filters` it was left out without a word
    assert [(p.name, p.problem) for p in asked] == [("1.png", ""), ("theirs", f"theirs: {told}")]


def test_what_systems_leave_behind_is_nobodys_data(tmp_path: Path) -> None:
    put_faces(tmp_path, "1", "2")
    put(tmp_path, "._1.jpg", "._1.pts", "__MACOSX/1.jpg", ".ipynb_checkpoints/1-checkpoint.jpg", "@eaDir/1.jpg")
    samples = open_source("300w", str(tmp_path)).samples()
    assert [s.id for s in samples] == ["1", "2"]
    assert {u.kind for u in samples.unmatched} == {"names passed over"}
    video = tmp_path / "vw"
    put(video, "001/000001.jpg", "001/._000001.jpg")
    put(video, "001/annot/000001.pts", "001/annot/._000003.pts", data=f"{{{POINTS}}}".encode())
    assert [s.id for s in open_source("300vw", str(video)).samples()] == ["001/000001"]  # was int('._000003')


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_members_that_lead_out_are_named_and_never_read(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "x.zip", *((n, PICTURE) for n in ("../../x.png", "/abs.png", "a\\..\\..\\b.png", "ok.png"))
    )
    found = expand([str(path)])
    assert [p.name for p in found if not p.problem] == ["ok.png"]
    assert len(found) == 4 and all("leads out of the archive" in p.problem for p in found if p.name != "ok.png")
    assert not any(climbs(name) for name in drawn_names(found).values())
    assert [s.id for s in open_source("folder", str(path)).samples()] == ["ok"]


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><html>Sign in</html>", b"PK\x03\x04 cut"])
def test_a_zip_that_is_none_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    for ask in (
        lambda: expand([str(tmp_path / "x.zip")]),
        lambda: open_source("300w", str(tmp_path / "x.zip")).samples(),
    ):
        with pytest.raises(FakeitError, match=r"x\.zip: no zip archive, or a cut one"):
            ask()


def test_a_member_with_a_wrong_checksum_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, so that its bytes can be found
        archive.writestr("a.png", PICTURE)
        archive.writestr("b.png", PICTURE + b" ")
    data = bytearray(path.read_bytes())
    data[data.index(PICTURE) + 60] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(Rejected, match="a.png: cannot be read .*CRC"):
        read_image(f"{path}!/a.png")
    assert read_image(f"{path}!/b.png").shape == (40, 40, 3)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/gr\xf6\xdfe.png", "wb") as file:
        file.write(PICTURE)
    (found,) = expand([str(tmp_path)])
    assert found.name == "gr\\xf6\\xdfe.png" and read_image(found.location).shape == (40, 40, 3)
    (sample,) = open_source("folder", str(tmp_path)).samples()
    sample.id.encode()
    assert printable("größe\n.png") == "größe\\n.png"


def test_a_comma_and_a_mark_of_members_in_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "Meier, Anna!" / "faces.zip"  # a folder, whatever it is called
    put(folder, "1.png", data=PICTURE)
    (folder / "1_ldmks.txt").write_text(POINTS + "9 9\n9 9\n")
    (sample,) = open_source("face_synthetics", str(folder)).samples()
    assert read_bytes(sample.image) == PICTURE
    assert len(expand([str(folder)])) == 1


def test_a_url_whose_package_is_missing_is_one_line() -> None:
    for place in ("gs://bucket/faces/", "nosuch://x/y/"):
        with pytest.raises(FakeitError, match=place[:8]):
            open_source("folder", place).samples()


def test_pictures_of_one_name_stay_two(tmp_path: Path) -> None:
    put(tmp_path, "x/a/1.jpg", "x/b/1.jpg", "y/a.jpg", "y/a.png", "y/a.bmp")
    names = [p.name for p in expand([str(tmp_path / "x/a/1.jpg"), str(tmp_path / "x/b/1.jpg")])]
    assert names == ["a/1.jpg", "b/1.jpg"]
    assert [p.name for p in expand([str(tmp_path / "x/a"), str(tmp_path / "x/b")])] == ["a/1.jpg", "b/1.jpg"]
    assert len(expand([str(tmp_path / "y/a.jpg")] * 2)) == 1
    assert {s.id for s in open_source("folder", str(tmp_path / "y")).samples()} == {"a.jpg", "a.png", "a.bmp"}
    assert len(set(drawn_names(expand([str(tmp_path / "y")])).values())) == 3


def test_output_names_never_meet() -> None:
    names = OutputNames()
    made = [names.take(n) for n in ("a.pts", "A.pts", "a.pts", "é.pts", "e\u0301.pts", "a~2.pts")]
    assert len({m.casefold() for m in made}) == 6


@pytest.mark.parametrize("name", ["./images/É1.JPG", "images\\É1.jpg", "E\u03011.jpg", "data/images/É1.jpg"])
def test_a_name_is_found_however_a_list_writes_it(name: str) -> None:
    assert NameIndex(["images/É1.jpg", "images/2.jpg"]).find(name) == ["images/É1.jpg"]
    assert NameIndex(["a/1.jpg", "b/1.jpg"]).find("1.jpg") == ["a/1.jpg", "b/1.jpg"]
    assert NameIndex(["a/1.jpg"]).find("../../etc/1.jpg") == []


def test_temporary_files_of_killed_runs_are_swept(tmp_path: Path) -> None:
    put(tmp_path, "shard.parquet.77.0123abcd.tmp", "mine.tmp", data=b"x")
    with write_atomically(str(tmp_path / "whole")) as file:
        file.write(b"x")
    assert sweep(str(tmp_path)) == ["shard.parquet.77.0123abcd.tmp"]
    assert sorted(os.listdir(tmp_path)) == ["mine.tmp", "whole"]


def test_a_write_that_finds_the_disk_full_says_which_file(tmp_path: Path) -> None:
    """`No space left on device` was all that `fakeit synthesize` said."""
    with pytest.raises(OSError) as told, write_atomically(str(tmp_path / "000001.png")):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert told.value.filename == str(tmp_path / "000001.png") and not list(tmp_path.iterdir())

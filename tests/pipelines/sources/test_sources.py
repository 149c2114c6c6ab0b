"""Every dataset format: real files where they are at hand, small ones written here for what must be refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.files.image_io import MAX_PIXELS, decode
from fakeit.pipelines.sources import Source, open_source
from fakeit.pipelines.sources.point_files import read_pts

FACE = "".join(f"{20 + 3 * (i % 10)} {20 + 3 * (i // 10)}\n" for i in range(70))


def _first(kind: str, path: Path, **options: object) -> Source:
    source = open_source(kind, str(path), **options)
    sample = source.samples()[0]
    assert source.image(sample).dtype == np.uint8
    return source


@pytest.mark.parametrize(
    ("kind", "folder", "count", "points"),
    [
        ("face_synthetics", "face_synthetics_100", 100, 70),
        ("300w", "afw_68", 337, 68),
        ("300w", "formats/300w", 2, 68),
        ("300vw", "formats/300vw", 4, 68),
        ("wflw", "formats/wflw", 40, 98),
        ("mmlab", "formats/mmlab", 20, 5),
        ("youtube_faces", "youtube_faces_68", 400, 68),
    ],
)
def test_real_files(shared: Path, kind: str, folder: str, count: int, points: int) -> None:
    source = _first(kind, shared / "data" / folder)
    samples = source.samples()
    assert len(samples) >= count and len({s.id for s in samples}) == len(samples)
    for sample in samples[:40]:
        annotation = source.read(sample)
        assert annotation.landmarks.shape == (points, 2) and np.isfinite(annotation.landmarks).all()
        height, width = source.image(sample).shape[:2]
        inside = (annotation.landmarks > -0.25 * width) & (annotation.landmarks < 1.25 * max(width, height))
        assert inside.all()


def test_wflw_attributes_and_boxes(shared: Path) -> None:
    source = open_source("wflw", str(shared / "data/formats/wflw"))
    samples = source.samples()
    assert {"pose", "occlusion", "blur"} <= {name for s in samples for name, value in s.attributes.items() if value}
    boxes = [source.read(s).box for s in samples if source.read(s).box is not None]
    assert len(boxes) >= 2 and all(box[2] > 0 and box[3] > 0 for box in boxes if box)


def test_folders_of_one_name_give_every_face_an_id(tmp_path: Path) -> None:
    for place in ("first", "second"):
        (tmp_path / place / "FACES").mkdir(parents=True)
        (tmp_path / place / "FACES" / "000001.png").touch()
        (tmp_path / place / "FACES" / "000001_ldmks.txt").write_text(FACE)
    samples = open_source("face_synthetics", f"{tmp_path}/first/FACES,{tmp_path}/second/FACES").samples()
    assert [(s.id, s.group) for s in samples] == [("FACES/000001", ""), ("FACES/000001:1", "FACES/000001")]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("300vw", {"every": "5"}, "source '300vw': 'every' is '5', expected a whole number"),
        ("300vw", {"evry": 5}, "source '300vw': unknown key 'evry'; did you mean 'every'?"),
        ("300w", {"subset": "challengin"}, "source '300w': 'subset' is 'challengin'.*did you mean 'challenging'"),
        ("face_synthetics", {"dense": "false"}, "'dense' is 'false', expected true or false"),
        ("coco", {"point": "x.json"}, "source 'coco': unknown key 'point'; did you mean 'points'?"),
        ("ffhq", {"every": 5}, "source 'ffhq': unknown key 'every'"),
        ("kaggle", {"block": 0}, "source 'kaggle': source options: block must be at least 1"),
    ],
)
def test_options_are_checked_as_confs_are(tmp_path: Path, kind: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(FakeitError, match=said):
        open_source(kind, str(tmp_path), **options)


def test_face_synthetics_in_a_zip(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("a/000000.png", picture)
        archive.writestr("a/000000_ldmks.txt", FACE)
        archive.writestr("a/000000_seg.png", picture)
    source = _first("face_synthetics", tmp_path / "faces.zip")
    assert [s.id for s in source.samples()] == ["a/000000"]
    assert source.read(source.samples()[0]).landmarks.shape == (70, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FACE.rsplit("\n", 2)[0] + "\n", "69 lines"),
        (FACE.replace("20 20", "nan 20", 1), ":1: expected two finite"),
        (FACE.replace("23 20", "x 20", 1), ":2: expected two finite"),
        ("", "0 lines"),
    ],
)
def test_bad_points_are_named(tmp_path: Path, text: str, reason: str) -> None:
    cv2.imwrite(str(tmp_path / "000000.png"), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "000000_ldmks.txt").write_text(text)
    source = open_source("face_synthetics", str(tmp_path))
    with pytest.raises(Rejected, match=reason):
        source.read(source.samples()[0])


def test_pts_without_braces_or_last_newline_or_with_other_ends(tmp_path: Path) -> None:
    rows = "\n".join(f"{i + 1} {i + 2}" for i in range(68))
    whole = tmp_path / "a.pts"
    whole.write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    bare = tmp_path / "b.pts"
    bare.write_text(f"version: 1\nn_points: 68\n{rows}")
    assert np.array_equal(read_pts(str(whole), 68), read_pts(str(bare), 68))
    assert read_pts(str(whole), 68)[0].tolist() == [0.0, 1.0]  # counted from 1 in the file
    for ends in ("\r", "\r\n"):
        bare.write_bytes(whole.read_bytes().replace(b"\n", ends.encode()))
        assert np.array_equal(read_pts(str(whole), 68), read_pts(str(bare), 68))
    bare.write_text(rows + "\n9")
    with pytest.raises(Rejected, match="b.pts:69"):
        read_pts(str(bare), 68)


def test_missing_points_stay_missing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "p.csv").write_text("image,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\na.png,1,2,,,5,6,7,8,9,10\n")
    source = open_source("folder", str(tmp_path), scheme="five", points="p.csv")
    annotation = source.read(source.samples()[0])
    assert annotation.visibility.tolist() == [2, 0, 2, 2, 2]
    assert np.isnan(annotation.landmarks[1]).all()


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    for kind in ("face_synthetics", "300w", "300vw", "wflw", "mmlab", "folder"):
        with pytest.raises(FakeitError, match="no such"):
            open_source(kind, str(tmp_path / "nowhere")).samples()
        with pytest.raises(FakeitError, match=str(tmp_path)):
            open_source(kind, str(tmp_path)).samples()
    with pytest.raises(FakeitError, match="did you mean 'wflw'"):
        open_source("wflv", str(tmp_path))


def _encoded(ending: str, picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(ending, picture)[1].tobytes())


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (80, 60, 3)).astype(np.uint8)


@pytest.mark.fault
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_every_damage_is_refused(picture: np.ndarray, ending: str) -> None:
    data = _encoded(ending, picture)
    assert decode(data, "whole").shape == (80, 60, 3)
    for keep in (0, 2, 40, len(data) // 2, len(data) - 20):
        with pytest.raises(Rejected):
            decode(data[:keep], "truncated")
    with pytest.raises(Rejected, match="not an image"):
        decode(b"this is a text that somebody called .png", "text.png")


@pytest.mark.fault
def test_flipped_bytes_of_a_png_are_always_seen(picture: np.ndarray) -> None:
    data, random = _encoded(".png", picture), np.random.default_rng(1)
    for _ in range(50):
        broken = bytearray(data)
        broken[random.integers(8, len(data) - 12)] ^= int(random.integers(1, 256))
        with pytest.raises(Rejected):
            decode(bytes(broken), "flipped.png")


@pytest.mark.fault
def test_a_bomb_is_refused_unread(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 100
    Image.new("L", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(Rejected, match="pixels"):
        decode((tmp_path / "bomb.png").read_bytes(), "bomb.png")


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_are_scaled_by_their_range(picture: np.ndarray, white: int) -> None:
    grey, data = picture[..., 0], io.BytesIO()
    floats = grey.astype(np.float32) / 255 * white
    floats[0, :3] = -0.1 * white, 1.1 * white, np.nan  # as resampling overshoots, and where nothing was measured
    Image.fromarray(floats).save(data, "TIFF")
    found = decode(data.getvalue(), "floats.tif")
    assert np.array_equal(found[1:], np.repeat(grey[1:, :, None], 3, axis=2))
    assert found[0, :3, 0].tolist() == [0, 255, 0]


def test_pictures_of_all_kinds(tmp_path: Path, picture: np.ndarray) -> None:
    rgb = picture[..., ::-1]
    deep = _encoded(".png", picture.astype(np.uint16) * 257)
    assert np.array_equal(decode(deep, "16 bits"), rgb)
    alpha = _encoded(".png", np.dstack([picture, np.full((80, 60), 9, np.uint8)]))
    assert np.array_equal(decode(alpha, "alpha"), rgb)
    assert decode(_encoded(".png", picture[..., 0]), "grey").shape == (80, 60, 3)
    Image.fromarray(np.full((40, 30, 4), 100, np.uint8), "CMYK").save(tmp_path / "c.jpg")
    assert decode((tmp_path / "c.jpg").read_bytes(), "cmyk").shape == (40, 30, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    half = np.zeros((40, 64, 3), np.uint8)
    half[:, :32] = 250
    Image.fromarray(half).save(tmp_path / "e.jpg", exif=exif, quality=95)
    turned = decode((tmp_path / "e.jpg").read_bytes(), "exif")
    assert turned.shape == (64, 40, 3)
    assert turned[:28].mean() > 200 and turned[36:].mean() < 50

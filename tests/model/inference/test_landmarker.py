"""The API of a trained network: points come back to where they are in the picture, whatever crop they went through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fakeit
from fakeit.model.inference.backends import ModelMetadata, Output, confidence, metadata_from_json, open_backend
from fakeit.model.inference.crop_reader import CropReader
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig, as_pixels
from fakeit.model.inference.results import Face
from fakeit.model.networks import NetworkConfig, build
from fakeit.model.training import checkpoint
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_fit import BoxFit, fit_boxes
from fakeit.pipelines.faces.crop import CropConfig, Picture, eye_angle
from fakeit.pipelines.faces.matrix import sine_cosine
from tests.pattern_face import POINTS, Finder, Reader, picture, placed


def landmarker(off: float = 0.0, reader: Reader | None = None, **config: object) -> Landmarker:
    made = Landmarker(reader or Reader(), LandmarkerConfig(detector="test", **config))  # type: ignore[arg-type]
    made._detector = Finder(off)
    return made


@pytest.mark.parametrize("degrees", [0.0, 20.0, -35.0])
@pytest.mark.parametrize("scale", [0.8, 1.6, 2.7])
def test_points_lie_on_the_face(scale: float, degrees: float) -> None:
    image, (true,) = picture([placed(240, 80, scale, degrees)])
    (face,) = landmarker().predict_boxes(image, [from_landmarks(true)])
    assert face.points.dtype == np.float32 and face.scheme == "face70"
    assert np.abs(face.points - true).max() < 0.35
    assert face.confidence.min() > 0.9


def test_eyes_recipe_turns_the_crop_and_the_points_back() -> None:
    image, (true,) = picture([placed(240, 80, 1.6, 25)])
    by_eyes = ModelMetadata("face70", CropConfig(size=128, margin=0.2, align="eyes"), sigma=True)
    (face,) = landmarker(reader=Reader(by_eyes)).predict_boxes(image, [from_landmarks(true)], refine=1)
    assert np.abs(face.points - true).max() < 0.35


def test_a_second_pass_forgives_the_detector() -> None:
    image, (true,) = picture([placed(200, 120, 1.6)])
    (face,) = landmarker(off=0.25, refine=1)(image)
    assert np.abs(face.points - true).max() < 0.35
    again = from_landmarks(true)
    assert abs(face.box.x - again.x) < 1 and abs(face.box.side - again.side) < 1


def test_many_faces_the_most_prominent_first() -> None:
    image, truths = picture([placed(10, 10, 0.6), placed(250, 150, 2), placed(520, 20, 0.8)])
    faces = landmarker()(image)
    assert len(faces) == 3
    assert np.abs(faces[0].points - truths[1]).max() < 0.5


def test_large_pictures_are_detected_small_and_read_whole() -> None:
    image, (true,) = picture([placed(900, 500, 5.0)], 2400, 1600)
    (face,) = landmarker(detect_side=480)(image)
    assert np.abs(face.points - true).max() < 1.0


def test_nothing_there() -> None:
    assert landmarker()(np.zeros((200, 200, 3), np.uint8)) == []
    assert landmarker()(np.zeros((1, 1, 3), np.uint8)) == []
    assert landmarker().predict_boxes(np.zeros((50, 50, 3), np.uint8), []) == []


def test_what_users_need_is_had_from_the_package_and_a_tuple_is_no_box() -> None:
    """The pages said `Box(…)` and nowhere where it comes from; a tuple was an AttributeError."""
    assert fakeit.Box is Box and all(getattr(fakeit, name).__name__ == name for name in fakeit.__all__)
    with pytest.raises(FakeitError, match=r"box 0 is \(1, 2, 30, 40\); expected fakeit.Box\(x, y, width, height\)"):
        landmarker()(np.zeros((50, 50, 3), np.uint8), [(1, 2, 30, 40)])  # type: ignore[list-item]


def test_a_face_cut_by_the_border() -> None:
    image, (true,) = picture([placed(-60, 100, 1.6)])
    (face,) = landmarker().predict_boxes(image, [from_landmarks(true)])
    assert np.abs(face.points - true).max() < 0.5


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((4, 5), np.uint8), (4, 5, 3)),
        (np.zeros((4, 5, 1), np.uint8), (4, 5, 3)),
        (np.zeros((4, 5, 4), np.uint8), (4, 5, 3)),
        (np.full((4, 5, 3), 65535, np.uint16), (4, 5, 3)),
    ],
)
def test_common_arrays_are_pictures(array: np.ndarray, shape: tuple[int, ...]) -> None:
    assert as_pixels(array).shape == shape and as_pixels(array).dtype == np.uint8
    if array.dtype == np.uint16:
        assert as_pixels(array).max() == 255


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "CMYK", "YCbCr", "HSV", "1"])
def test_a_picture_of_pillows_means_what_its_mode_says(mode: str) -> None:
    """Palettes, inks and other colour spaces went to the network as if they were RGB."""
    drawn = picture([placed(240, 80, 1.6)])[0]
    held = Image.fromarray(drawn).convert(mode)
    assert np.array_equal(as_pixels(held), np.asarray(held.convert("RGB")))
    assert landmarker()(held).pixels.shape == drawn.shape


@pytest.mark.parametrize("array", [np.zeros((4, 5, 3)), np.zeros(3, np.uint8), np.zeros((0, 5, 3), np.uint8)])
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(Rejected, match="not a picture"):
        as_pixels(array)


def test_flip_averages_the_mirrored_crop() -> None:
    image, (true,) = picture([placed(200, 100, 1.6)])

    class Crooked(Reader):
        def run(self, crops: np.ndarray) -> Output:
            if self.runs:  # the mirrored crop: answer with mirrored points, in mirrored order
                from fakeit.pipelines.landmarks import scheme

                points, sigma = super().run(np.ascontiguousarray(crops[:, :, ::-1]))[:2]
                points = points[:, list(scheme("face70").flip)] * [-1, 1] + [1, 0]
                return Output((points + [0.02, 0.0]).astype(np.float32), sigma)
            points, sigma = super().run(crops)[:2]
            return Output((points + [0.02, 0.0]).astype(np.float32), sigma)

    made = landmarker(reader=Crooked(), flip=True)
    (face,) = made.predict_boxes(image, [from_landmarks(true)], refine=0)
    assert np.abs(face.points - true).max() < 0.4  # a bias to one side cancels


def test_confidence_falls_with_sigma() -> None:
    values = confidence(np.log(np.array([0.003, 0.03, 0.3], np.float32)))
    assert values[0] > 0.99 and 0.3 < values[1] < 0.5 and values[2] < 0.01


def test_box_fit_brings_detector_boxes_to_tight_ones() -> None:
    random = np.random.default_rng(1)
    true = [Box(*random.uniform(10, 300, 2), *(random.uniform(60, 200) * np.array([0.9, 1.0]))) for _ in range(30)]
    found = [BoxFit(0.05, -0.2, 1.3, 1.0).apply(b) for b in true]
    fit = fit_boxes(found, true)
    for box, wanted in zip(found, true, strict=True):
        again = fit.apply(box)
        assert np.allclose(again.array(), wanted.array(), atol=0.02 * wanted.side)


def test_models_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="no such file"):
        open_backend(tmp_path / "absent.onnx")
    for name in ("noise.onnx", "noise.pt"):
        (tmp_path / name).write_bytes(b"not a model")
        with pytest.raises(FakeitError, match=name):
            open_backend(tmp_path / name)
    with pytest.raises(FakeitError, match="newer"):
        metadata_from_json('{"version": 99}', "model x")
    with pytest.raises(FakeitError, match="version' is '99', expected a whole number"):
        metadata_from_json('{"version": "99", "scheme": "face70", "crop": {}}', "model x")
    with pytest.raises(FakeitError, match="scheme 'face71'"):
        metadata_from_json('{"scheme": "face71", "crop": {}}', "model x")


def test_figures_by_which_nothing_would_be_found_are_refused() -> None:
    """`batch(pictures, size=0)` gave nothing back for any picture, `detect_side=0` found no face in any, silently."""
    for wrong in ({"detect_side": 0}, {"refine": -1}):
        with pytest.raises(FakeitError, match="at least 0 and 8 pixels"):
            LandmarkerConfig(**wrong)
    image, _ = picture([placed(100, 100)])
    with pytest.raises(FakeitError, match="size is 0"):
        list(landmarker().batch([image], size=0))


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_named(tmp_path: Path, device: str) -> None:
    """`--device cuda` without a GPU was called a mistake of ours."""
    network = build(NetworkConfig(name="lenet"), 5, 3, 32)
    stored = checkpoint.Checkpoint(network.config, CropConfig(size=32), "five", network.state_dict())
    checkpoint.write(stored, str(tmp_path / "best.pt"))
    with pytest.raises(FakeitError, match=f"device {device}: torch does not get there"):
        open_backend(tmp_path / "best.pt", device=device)


def test_the_pattern_itself_is_sound() -> None:
    image, (true,) = picture([placed(100, 100)])
    x, y = true[8].astype(int)
    assert np.abs(image[y, x, :2] / 2 - POINTS[8]).max() <= 1


class Stiff(Reader):
    """Reads a face turned by 30° in its crop or less, and says of others that they are turned two thirds as far."""

    def run(self, crops: np.ndarray) -> Output:
        points, sigma = super().run(crops)[:2]
        for face in points:
            angle = eye_angle(face, "face70")
            if abs(angle) > 30:
                sine, cosine = sine_cosine(-angle / 3)
                centre = face.mean(axis=0)
                face[:] = (face - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
        return Output(points, sigma)


@pytest.mark.parametrize(("degrees", "runs"), [(12.0, 1), (-14.0, 1), (40.0, 2), (-75.0, 3)])
def test_a_face_on_its_side_is_read_again_upright(degrees: float, runs: int) -> None:
    image, (true,) = picture([placed(300, 200, 1.2, degrees)])
    made = Landmarker(Stiff())
    box = from_landmarks(true)
    (face,) = made.predict_boxes(image, [box])
    assert np.abs(face.points - true).max() < 0.5
    assert made.backend.runs == runs and face.box == box  # type: ignore[attr-defined]


def test_faces_of_many_pictures_are_turned_each_by_its_own_angle() -> None:
    pictures, truths = zip(*(picture([placed(300, 200, 1.2, degrees)]) for degrees in (50, 0, -30)), strict=True)
    boxes = [[from_landmarks(true)] for (true,) in truths]
    made = Landmarker(Stiff(), LandmarkerConfig(refine=1))
    for found, (true,) in zip(made.predict_many([*pictures, pictures[0]], [*boxes, []]), truths, strict=False):
        assert np.abs(found[0].points - true).max() < 0.5
    assert made.predict_many([pictures[0]], [[]]) == [[]]


@pytest.mark.parametrize("degrees", [10.0, 16.0, -25.0, 50.0, -80.0])
def test_a_face_is_followed_in_one_pass_however_it_lies(degrees: float) -> None:
    image, (true,) = picture([placed(300, 200, 1.2, degrees)])
    made = Landmarker(Stiff())
    before = Face(true + np.float32(2), np.ones(70, np.float32), from_landmarks(true), "face70")
    (face,) = made.follow(image, [before])
    assert np.abs(face.points - true).max() < 0.5
    assert made.backend.runs == 1  # type: ignore[attr-defined]


def test_a_followed_crop_turns_evenly() -> None:
    """No step at 15 degrees, where a face that is held so would tremble."""
    reader, turns = CropReader(Stiff(), flip=False, upright=15), []
    for degrees in range(0, 60, 2):
        image, (true,) = picture([placed(300, 200, 1.2, degrees)])
        face = Face(true, np.ones(70, np.float32), from_landmarks(true), "face70")
        turns.append(reader.crop_to_follow(Picture(image, "rgb"), face).angle)
    assert turns[0] == 0 and turns[-1] > 55 and np.diff(turns).max() < 4.5


def test_who_wants_no_turning_gets_none() -> None:
    image, (true,) = picture([placed(300, 200, 1.2, 60)])
    made = Landmarker(Stiff(), LandmarkerConfig(upright=180))
    (face,) = made.predict_boxes(image, [from_landmarks(true)])
    assert made.backend.runs == 1 and np.abs(face.points - true).max() > 5  # type: ignore[attr-defined]

"""Detectors behind one interface: real faces are found where they are, nothing is found where nothing is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces import detect
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.faces.box_fit import box_fit
from fakeit.pipelines.faces.detect import DETECTORS, Mtcnn, detector
from fakeit.pipelines.faces.yunet import Network
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.machine import shipping
from fakeit.pipelines.sources import open_source


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (120, 160)])
def test_nothing_where_nothing_is(name: str, shape: tuple[int, int]) -> None:
    assert detector(name).detect(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize(("name", "least"), [("haar", 7), ("mtcnn", 10), ("yunet", 11)])
def test_real_faces_are_found_and_mapped_to_training_boxes(name: str, least: int, shared: Path) -> None:
    source = open_source("300w", str(shared / "data" / "afw_68"))
    finder, fit, near = detector(name), box_fit(name, "face70"), 0
    for sample in source.samples()[::33]:
        true = from_landmarks(source.read(sample).landmarks)
        for found in finder.detect(source.image(sample)):
            box = fit.apply(found.box)
            off = np.hypot(box.centre[0] - true.centre[0], box.centre[1] - true.centre[1])
            near += bool(off < 0.25 * true.side and 0.6 < box.side / true.side < 1.6)
            if name != "haar":
                assert found.points is not None and found.points.shape == (5, 2)
    assert near >= least  # of 11


def test_an_unknown_detector_names_the_nearest() -> None:
    with pytest.raises(FakeitError, match="did you mean 'mtcnn'"):
        detector("mtccn")


def test_mtcnn_finds_what_facenet_pytorch_found() -> None:
    """golden/mtcnn_faces.json: what facenet-pytorch 2.6.0 says of that sheet of rendered faces, in steps of a half."""
    golden = Path(__file__).parents[1] / "golden"
    found = Mtcnn(0.1, steps=(0.5, 0.5)).detect(read_image(str(golden / "mtcnn_faces.jpg")))
    wanted = json.loads((golden / "mtcnn_faces.json").read_text())
    assert len(found) == len(wanted) >= 6
    for face, known in zip(found, wanted, strict=True):
        assert np.allclose(face.box.array(), known["box"], atol=0.01)
        assert face.points is not None and np.allclose(face.points, known["points"], atol=0.02)
        assert face.score == pytest.approx(known["score"], abs=1e-3)


def test_yunet_finds_what_opencv_finds_with_it() -> None:
    """OpenCV's reader of the network wants a fixed size: the file is told one. It pads pictures to 32 pixels too."""
    sheet = read_image(str(Path(__file__).parents[1] / "golden" / "mtcnn_faces.jpg"))
    model = onnx.load(str(Path(detect.__file__).with_name("yunet.onnx")))
    for axis, size in zip((0, 2, 3), (1, 320, 320), strict=True):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    height, width = sheet.shape[:2]
    finder = cv2.FaceDetectorYN.create(
        "onnx", np.frombuffer(model.SerializeToString(), np.uint8), np.zeros(0, np.uint8), (width, height), 0.6, 0.3
    )
    known = finder.detect(np.ascontiguousarray(sheet[..., ::-1]))[1]
    boxes, scores, points = Network().detect(sheet, 0.6)
    order = np.argsort(-scores)
    assert len(known) == len(boxes) >= 6
    assert np.abs(known[:, :4] - boxes[order]).max() < 0.01
    assert np.abs(known[:, 4:14].reshape(-1, 5, 2) - points[order]).max() < 0.01
    assert np.abs(known[:, 14] - scores[order]).max() < 1e-4


def test_yunet_sees_the_small_and_the_large_of_one_picture() -> None:
    """One face of 90 pixels beside one of 850: no one size of the picture shows both to the network."""
    sheet = read_image(str(Path(__file__).parents[1] / "golden" / "mtcnn_faces.jpg"))
    face = detector("yunet").detect(sheet)[0].box
    x, y, side = (int(v) for v in (face.x - 0.4 * face.side, face.y - 0.4 * face.side, 1.8 * face.side))
    piece = sheet[max(0, y) : y + side, max(0, x) : x + side]
    picture = np.full((1600, 2000, 3), 120, np.uint8)
    large, small = (cv2.resize(piece, (n, n), interpolation=cv2.INTER_AREA) for n in (1560, 160))
    picture[20:1580, :1560], picture[100:260, 1700:1860] = large, small
    sides = sorted(found.box.side for found in detector("yunet", 0.015).detect(picture))
    assert len(sides) == 2 and 60 < sides[0] < 120 and 600 < sides[1] < 1300


HARD = ("1263447841_1", "1507775914_1", "179820698_1", "2082180458_1", "2223862191_1")  # pale, dark, blurred, close


@pytest.mark.parametrize("finder", ["yunet", "mtcnn"])
@pytest.mark.parametrize("name", HARD)
def test_faces_that_were_once_missed(name: str, finder: str, shared: Path) -> None:
    source = open_source("300w", str(shared / "data" / "helen_train_870"))
    (sample,) = [s for s in source.samples() if s.image.endswith(f"{name}.jpg")]
    true, fit = from_landmarks(source.read(sample).landmarks), box_fit(finder, "ibug68")
    assert max(true.overlap(fit.apply(f.box)) for f in detector(finder).detect(source.image(sample))) > 0.5


@pytest.mark.parametrize("change", ["dark", "close"])
def test_a_second_look_finds_the_dark_and_the_close(change: str) -> None:
    """One face of the golden sheet, nearly black, or cut so that it fills the picture."""
    sheet = read_image(str(Path(__file__).parents[1] / "golden" / "mtcnn_faces.jpg"))
    face = Mtcnn(0.1).detect(sheet)[0].box
    reach = 0.6 if change == "dark" else -0.05
    x, y = max(0, int(face.x - reach * face.width)), max(0, int(face.y - reach * face.height))
    picture = sheet[y : int(face.y + (1 + reach) * face.height), x : int(face.x + (1 + reach) * face.width)]
    picture = (picture // 24 if change == "dark" else picture).astype(np.uint8)
    finder = Mtcnn()
    assert finder._look(picture, 0, 20) == []
    found = finder.detect(picture)
    assert found and abs(found[0].box.centre[0] + x - face.centre[0]) < 0.15 * face.side
    assert found[0].points is not None and abs(found[0].points[:, 0].mean() + x - face.centre[0]) < 0.25 * face.side


def test_detection_needs_no_torch_and_runs_from_a_zip(tmp_path: Path) -> None:
    """Executors get this code as a zip, without torch: weights and box maps are read from inside it."""
    archive = shipping.code_archive(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); sys.modules['torch'] = None; import numpy as np;"
        "from fakeit.pipelines.faces import box_fit, locate;"
        "assert box_fit.box_fit('yunet', 'ibug68') != box_fit.BoxFit();"
        "print([locate.detected(name, np.zeros((64, 64, 3), np.uint8), 'none') for name in ('yunet', 'mtcnn')])"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert ran.stdout == "[[], []]\n", ran.stderr

"""Export: the ONNX file says what torch says, for any number of faces, and carries its recipe; OpenCV runs it too."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_dataset import make_dataset

from fakeit.model.export import PARITY, export, sample_crops
from fakeit.model.inference.backends import ModelMetadata, OnnxBackend, load_network
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.networks import LandmarkNetwork, NetworkConfig, build
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.crop import CropConfig


def network(head: str = "gaussian", name: str = "resnet_lean", size: int = 64, channels: int = 3) -> LandmarkNetwork:
    torch.manual_seed(0)
    made = build(NetworkConfig(name=name, head=head, width=0.25), 70, channels, size)  # type: ignore[arg-type]
    with torch.no_grad():  # statistics as after training, and points inside the crop
        made.train()
        for _ in range(3):
            made(torch.from_numpy(crops(16, size, channels)))
    return made.eval()


def crops(count: int, size: int = 64, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 256, (count, 8, 8, channels)).astype(np.uint8)
    return np.stack(
        [cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, -1) for c in coarse]
    )


def recipe(size: int = 64, colour: str = "rgb") -> ModelMetadata:
    return ModelMetadata("face70", CropConfig(size=size, margin=0.25, colour=colour), "resnet_lean")  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["direct", "gaussian", "simcc", "heatmap"])
def test_onnx_says_what_torch_says(head: str, tmp_path: Path) -> None:
    net = network(head)
    made = export(net, recipe(), tmp_path / "m.onnx", crops=crops(8))
    assert made.parity <= PARITY and made.bytes == made.path.stat().st_size
    backend = OnnxBackend(made.path)
    assert backend.metadata.crop == recipe().crop and backend.metadata.scheme == "face70"
    assert backend.metadata.sigma == (head == "gaussian")
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops(5)))
    points, sigma = backend.run(crops(5))
    assert np.abs(points - wanted.points.numpy()).max() * 64 <= PARITY
    assert (sigma is not None) == (wanted.log_sigma is not None)
    for count in (1, 3, 32):  # any number of faces
        assert backend.run(crops(count))[0].shape == (count, 70, 2)


def test_grey_networks_too(tmp_path: Path) -> None:
    made = export(network(channels=1), recipe(colour="grey"), tmp_path / "m.onnx", crops=crops(4, channels=1))
    landmarker = Landmarker.load(made.path)
    faces = landmarker.predict_boxes(np.full((80, 90, 3), 90, np.uint8), [Box(20, 20, 40, 40)])
    assert len(faces) == 1 and faces[0].points.shape == (70, 2)


def test_float16_is_half_as_large_and_close(tmp_path: Path) -> None:
    net = network()
    whole = export(net, recipe(), tmp_path / "32.onnx", crops=crops(8))
    half = export(net, recipe(), tmp_path / "16.onnx", "float16", crops(8))
    assert half.bytes < 0.6 * whole.bytes and half.parity < 0.5
    assert OnnxBackend(half.path).metadata.precision == "float16"


def test_int8_is_a_quarter_and_near(tmp_path: Path) -> None:
    net = network()
    whole = export(net, recipe(), tmp_path / "32.onnx", crops=crops(8))
    small = export(net, recipe(), tmp_path / "8.onnx", "int8", crops(32))
    assert small.bytes < 0.5 * whole.bytes
    assert small.parity < 6.0  # of 64 pixels, by an untrained network
    with pytest.raises(FakeitError, match="calibrate"):
        export(net, recipe(), tmp_path / "x.onnx", "int8")
    assert not (tmp_path / "x.onnx").exists()


def test_int8_pools_odd_maps_as_torch_does(tmp_path: Path) -> None:
    net = network(size=80)  # 80, 40, 20, 10, 5: the last pooling reaches beyond the edge
    made = export(net, recipe(80), tmp_path / "8.onnx", "int8", crops(32, 80))
    even = export(network(), recipe(), tmp_path / "even.onnx", "int8", crops(32))
    assert made.mean < 2 * even.mean


def test_int8_that_lost_the_points_is_refused(tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.head.linear.weight.mul_(200)  # type: ignore[union-attr]
    with pytest.raises(FakeitError, match="from torch's on average"):
        export(net, recipe(), tmp_path / "m.onnx", "int8", crops(32))
    assert not (tmp_path / "m.onnx").exists()


def test_opencv_runs_it(tmp_path: Path) -> None:
    net = network("direct")
    made = export(net, recipe(), tmp_path / "planes.onnx", layout="nchw")
    runner = cv2.dnn.readNetFromONNX(str(made.path))
    image = crops(2)
    runner.setInput(cv2.dnn.blobFromImages([c[..., ::-1] for c in image], swapRB=True))
    with torch.no_grad():
        wanted = net(torch.from_numpy(image)).points.numpy()
    assert np.abs(runner.forward().reshape(2, 70, 2) - wanted).max() * 64 < 1e-2


def test_a_checkpoint_comes_back_as_network_and_recipe(tmp_path: Path) -> None:
    from fakeit.model.training.checkpoint import Checkpoint, dump

    net = network()
    config = NetworkConfig(name="resnet_lean", head="gaussian", width=0.25)
    stored = Checkpoint(config, CropConfig(size=64, margin=0.3), "face70", net.state_dict())
    (tmp_path / "best.pt").write_bytes(dump(stored))
    again, found = load_network(tmp_path / "best.pt")
    assert found.crop.margin == 0.3 and found.sigma and found.network == "resnet_lean"
    with torch.no_grad():
        assert torch.equal(again(torch.from_numpy(crops(2))).points, net(torch.from_numpy(crops(2))).points)
    by_torch = Landmarker.load(tmp_path / "best.pt")
    export(again, found, tmp_path / "best.onnx", crops=crops(4))
    by_onnx = Landmarker.load(tmp_path / "best.onnx")
    image = cv2.resize(crops(1)[0], (120, 100))
    boxes = [Box(20, 10, 60, 70)]
    a, b = by_torch.predict_boxes(image, boxes, 0)[0], by_onnx.predict_boxes(image, boxes, 0)[0]
    assert np.abs(a.points - b.points).max() < 1e-3 and np.allclose(a.confidence, b.confidence, atol=1e-4)


def test_onnx_without_our_metadata_is_refused(tmp_path: Path) -> None:
    import onnx

    made = export(network("direct"), recipe(), tmp_path / "m.onnx")
    model = onnx.load(str(made.path))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "bare.onnx"))
    with pytest.raises(FakeitError, match="metadata"):
        OnnxBackend(tmp_path / "bare.onnx")


def test_calibration_crops_are_cut_out_of_roomier_ones(tmp_path: Path) -> None:
    dataset = str(make_dataset(tmp_path / "set", train=(9,), val=(3,), size=32, margin=0.4))
    cut = sample_crops(dataset, 8, ModelMetadata("face70", CropConfig(size=24, margin=0.1), "resnet_lean"))
    assert cut.shape == (8, 24, 24, 3) and cut.dtype == np.uint8
    stored = sample_crops(dataset, 8, ModelMetadata("face70", CropConfig(size=32, margin=0.4), "resnet_lean"))
    middle = cv2.resize(stored[0][5:27, 5:27], (24, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(cut[0].astype(int) - middle).mean() < 25
    with pytest.raises(FakeitError, match="cannot be cut"):
        sample_crops(dataset, 8, ModelMetadata("face70", CropConfig(size=24, align="eyes"), "resnet_lean"))

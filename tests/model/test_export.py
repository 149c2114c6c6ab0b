"""Export: the ONNX file says what torch says, for any number of faces, and carries its recipe; OpenCV runs it too."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from tiny_dataset import make_dataset

from fakeit.jobs import export as job
from fakeit.model import export as export_module
from fakeit.model.export import PARITY, export, sample_crops
from fakeit.model.inference.adapter import adapter_path
from fakeit.model.inference.backends import AS_TOLD, ModelMetadata, OnnxBackend, load_network
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.networks import LandmarkNetwork, NetworkConfig, build
from fakeit.model.networks.network import Prediction
from fakeit.model.quantise import MIDDLE, SPREAD
from fakeit.model.tracking.catalogue import locate
from fakeit.model.training import onnx_weights
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.crop import CropConfig


def network(
    head: str = "gaussian", name: str = "resnet_lean", size: int = 64, channels: int = 3, normalise: str = "half"
) -> LandmarkNetwork:
    torch.manual_seed(0)
    made = build(NetworkConfig(name, head=head, width=0.25, normalise=normalise), 70, channels, size)  # type: ignore[arg-type]
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


@pytest.mark.parametrize("head", ["direct", "gaussian", "votes"])
def test_onnx_says_what_torch_says(head: str, tmp_path: Path) -> None:
    net = network(head)
    made = export(net, recipe(), tmp_path / "m.onnx", crops=crops(8))
    assert made.parity <= PARITY and made.bytes == made.path.stat().st_size
    backend = OnnxBackend(made.path)
    assert backend.metadata.crop == recipe().crop and backend.metadata.scheme == "face70"
    assert backend.metadata.sigma == (head in ("gaussian", "votes"))
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops(5)))
    points, sigma = backend.run(crops(5))[:2]
    assert np.abs(points - wanted.points.numpy()).max() * 64 <= PARITY
    assert (sigma is not None) == (wanted.log_sigma is not None)
    for count in (1, 3, 32):  # any number of faces
        assert backend.run(crops(count))[0].shape == (count, 70, 2)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_stands_beside_the_points_is_exported_too(precision: str, tmp_path: Path) -> None:
    config = NetworkConfig("resnet_lean", width=0.25, head="votes", visibility=True, dense_modes=8)
    torch.manual_seed(0)
    net = build(config, 70, 3, 64).eval()
    made = export(net, recipe(), tmp_path / "m.onnx", precision, crops(16))  # type: ignore[arg-type]
    assert made.mean < 0.5  # of 64 pixels
    said, straight = OnnxBackend(made.path).run(crops(5)), net(torch.from_numpy(crops(5)))
    near = 1e-4 if precision == "float32" else 0.05
    assert said.visibility is not None and said.dense is not None and straight.visibility is not None
    assert np.abs(said.visibility - straight.visibility.sigmoid().detach().numpy()).max() < near
    assert np.abs(said.dense - straight.dense.detach().numpy()).max() < near  # type: ignore[union-attr]
    (face,) = Landmarker.load(made.path).predict_boxes(np.full((80, 90, 3), 90, np.uint8), [Box(20, 20, 40, 40)])
    assert face.visibility is not None and face.dense is not None and face.dense.shape == (400, 2)


def test_grey_networks_too(tmp_path: Path) -> None:
    made = export(network(channels=1), recipe(colour="grey"), tmp_path / "m.onnx", crops=crops(4, channels=1))
    landmarker = Landmarker.load(made.path)
    faces = landmarker.predict_boxes(np.full((80, 90, 3), 90, np.uint8), [Box(20, 20, 40, 40)])
    assert len(faces) == 1 and faces[0].points.shape == (70, 2)


def test_float16_is_half_as_large_and_close(tmp_path: Path) -> None:
    net = network()
    whole = export(net, recipe(), tmp_path / "32.onnx", crops=crops(8))
    half = export(net, recipe(), tmp_path / "16.onnx", "float16", crops(8))
    assert half.bytes < 0.6 * whole.bytes and 0 < half.parity < 0.05
    assert OnnxBackend(half.path).metadata.precision == "float16"


def test_float16_is_read_as_it_was_stored_and_widened_for_others(tmp_path: Path) -> None:
    made = export(network("votes"), recipe(), tmp_path / "16.onnx", "float16", crops(8), layout="nchw")
    onnx_weights.widened(made.path, tmp_path / "32.onnx")
    stored, wide = onnx.load(str(made.path)), onnx.load(str(tmp_path / "32.onnx"))
    kinds = {tensor.data_type for tensor in stored.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds, "else nothing is stored in 16 bits"
    assert onnx.TensorProto.FLOAT16 not in {tensor.data_type for tensor in wide.graph.initializer}
    for name, values in onnx_weights.read(wide).items():
        np.testing.assert_array_equal(values, onnx_weights.read(stored)[name])
    said, again = (OnnxBackend(path).run(crops(3)).points for path in (made.path, tmp_path / "32.onnx"))
    np.testing.assert_allclose(said, again, atol=1e-6)
    runner = cv2.dnn.readNetFromONNX(str(made.path))
    runner.setInput(crops(3).transpose(0, 3, 1, 2).astype(np.float32))
    assert np.abs(runner.forward("points").reshape(3, 70, 2) - said).max() * 64 < 1e-2


def test_a_model_that_comes_along_is_exported_with_what_it_knows_of_itself(tmp_path: Path) -> None:
    """Its confidence's fit was lost, and its adapter where it was called by its name."""
    arguments = job.parser().parse_args(
        ["--model", "nano", "--output", str(tmp_path / "n.onnx"), "--precision", "float16"]
    )
    job.main(arguments)
    before, after = (OnnxBackend(path).metadata for path in (locate("nano"), tmp_path / "n.onnx"))
    assert before.sigma_fit != AS_TOLD and replace(before, precision="float16") == after
    assert (tmp_path / "n.adapter-ibug68.npz").read_bytes() == adapter_path(locate("nano"), "ibug68").read_bytes()
    arguments.model = arguments.output
    with pytest.raises(FakeitError, match=r"n\.onnx: is an input and would be destroyed"):
        job.main(arguments)


def test_int8_is_a_quarter_and_near(tmp_path: Path) -> None:
    net = network()
    whole = export(net, recipe(), tmp_path / "32.onnx", crops=crops(8))
    small = export(net, recipe(), tmp_path / "8.onnx", "int8", crops(32))
    assert small.bytes < 0.5 * whole.bytes
    assert small.parity < 6.0  # of 64 pixels, by an untrained network
    with pytest.raises(FakeitError, match=r"precision int8 needs crops of a dataset \(--dataset\)"):
        export(net, recipe(), tmp_path / "x.onnx", "int8")
    with pytest.raises(FakeitError, match="precision int8 has no layout nchw"):
        export(net, recipe(), tmp_path / "x.onnx", "int8", crops(32), "nchw")
    assert not (tmp_path / "x.onnx").exists()


def test_int8_pools_odd_maps_as_torch_does(tmp_path: Path) -> None:
    net = network(size=80)  # 80, 40, 20, 10, 5: the last pooling reaches beyond the edge
    made = export(net, recipe(80), tmp_path / "8.onnx", "int8", crops(32, 80))
    even = export(network(), recipe(), tmp_path / "even.onnx", "int8", crops(32))
    assert made.mean < 2 * even.mean


@pytest.mark.parametrize(
    ("name", "channels", "normalise", "even"),
    [
        ("resnet_lean", 3, "half", True),
        ("resnet_lean", 1, "half", True),
        ("resnet18", 3, "half", True),
        ("resnet_lean", 3, "imagenet", False),  # each channel has a mean of its own, but one zero lies around the crop
    ],
)
def test_int8_takes_the_pixels_as_they_are(
    name: str, channels: int, normalise: str, even: bool, tmp_path: Path
) -> None:
    """Half of a small network's time went into making floats of pixels and pixels of floats."""
    net = network("direct", name, 64, channels, normalise)
    with torch.no_grad():
        net.head.linear.weight.mul_(0.3)  # type: ignore[union-attr]
    given = crops(48, 64, channels)
    made = export(net, recipe(colour="rgb" if channels == 3 else "grey"), tmp_path / "8.onnx", "int8", given)
    assert made.mean < 0.5  # of 64 pixels
    graph = onnx.load(str(made.path)).graph
    used = {name: node for node in graph.node for name in node.input}
    turned = used["crops"]
    pixels = used[turned.output[0]]
    if not even:
        assert [used[used[pixels.output[0]].output[0]].op_type, pixels.op_type] == ["Mul", "Cast"]  # in float
        return
    assert (turned.op_type, pixels.op_type, used[pixels.output[0]].op_type) == ("Transpose", "DequantizeLinear", "Conv")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert [float(constants[name]) for name in pixels.input[1:]] == [pytest.approx(1 / SPREAD), MIDDLE]
    assert "Sub" not in {node.op_type for node in graph.node}


def test_an_average_is_taken_by_the_convolution_behind_it(tmp_path: Path) -> None:
    made = export(network(), recipe(), tmp_path / "8.onnx", "int8", crops(32))
    assert "AveragePool" not in {node.op_type for node in onnx.load(str(made.path)).graph.node}


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


@pytest.mark.fault
def test_a_disk_that_fills_up_does_not_cost_a_model_that_gets_other_metadata(tmp_path: Path) -> None:
    """`evaluate --fit-confidence` left the half of the file that there was room for."""
    export(network(), ModelMetadata("face70", CropConfig(size=64, margin=0.3)), tmp_path / "mine.onnx")
    before = (tmp_path / "mine.onnx").read_bytes()
    code = (
        "import pathlib, resource, signal, sys; from fakeit.model.inference import backends\n"
        "path, room = pathlib.Path(sys.argv[1]), int(sys.argv[2]); known = backends.OnnxBackend(path).metadata\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))\n"
        "backends.write_metadata(path, known)"
    )
    asked = [sys.executable, "-c", code, str(tmp_path / "mine.onnx"), str(len(before) // 2)]
    done = subprocess.run(asked, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert (tmp_path / "mine.onnx").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_calibration_crops_are_cut_out_of_roomier_ones(tmp_path: Path) -> None:
    dataset = str(make_dataset(tmp_path / "set", train=(9,), val=(3,), size=32, margin=0.4))
    cut = sample_crops(dataset, 8, ModelMetadata("face70", CropConfig(size=24, margin=0.1), "resnet_lean"))
    assert cut.shape == (8, 24, 24, 3) and cut.dtype == np.uint8
    stored = sample_crops(dataset, 8, ModelMetadata("face70", CropConfig(size=32, margin=0.4), "resnet_lean"))
    middle = cv2.resize(stored[0][5:27, 5:27], (24, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(cut[0].astype(int) - middle).mean() < 25
    with pytest.raises(FakeitError, match="cannot be cut"):
        sample_crops(dataset, 8, ModelMetadata("face70", CropConfig(size=24, align="eyes"), "resnet_lean"))


class Unsure(torch.nn.Module):
    """A network whose file gets another log σ than the network itself has."""

    def __init__(self, network: LandmarkNetwork) -> None:
        super().__init__()
        self.network, self.size, self.channels = network, network.size, network.channels

    def forward(self, crops: torch.Tensor) -> Prediction:
        made = self.network(crops)
        traced = 1.0 if torch.jit.is_tracing() else 0.0
        return Prediction(made.points, log_sigma=made.log_sigma + traced)


@pytest.mark.fault
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_file_with_another_sigma_is_refused(tmp_path: Path, precision: str) -> None:
    other: Any = Unsure(network())
    kind: Any = precision
    with pytest.raises(FakeitError, match="log σ is 1.0"):
        export(other, recipe(), tmp_path / "m.onnx", kind, crops=crops(16))
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.fault
def test_points_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    broken = network()
    with torch.no_grad():
        next(broken.head.parameters()).fill_(float("nan"))
    with pytest.raises(FakeitError, match="nan pixels"):
        export(broken, recipe(), tmp_path / "m.onnx", crops=crops(4))


def test_planes_are_checked_too_and_run_in_a_landmarker(tmp_path: Path) -> None:
    """Their parity was never looked at, and a Landmarker on such a file crashed."""
    plain = Landmarker.load(export(network(), recipe(), tmp_path / "a.onnx", crops=crops(8)).path)
    made = export(network(), recipe(), tmp_path / "b.onnx", crops=crops(8), layout="nchw")
    assert 0 < made.parity <= PARITY
    picture = crops(1, 200)[0]
    wanted, found = (
        model.predict_boxes(picture, [Box(30, 30, 120, 120)])[0] for model in (plain, Landmarker.load(made.path))
    )
    np.testing.assert_allclose(found.points, wanted.points, atol=1e-3)
    with pytest.raises(FakeitError, match="log σ"):
        export(Unsure(network()), recipe(), tmp_path / "c.onnx", crops=crops(8), layout="nchw")  # type: ignore[arg-type]


def test_int8_is_judged_on_other_crops_than_its_ranges_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, np.ndarray] = {}
    judged, convert = export_module._judged, export_module.to_int8

    def judge(net: Any, made: Path, given: np.ndarray, *rest: Any) -> Any:
        seen["judged"] = given
        return judged(net, made, given, *rest)

    def calibrate(plain: Path, made: Path, given: np.ndarray) -> None:
        seen["calibrated"] = given
        convert(plain, made, given)

    monkeypatch.setattr(export_module, "_judged", judge)
    monkeypatch.setattr(export_module, "to_int8", calibrate)
    export(network(), recipe(), tmp_path / "m.onnx", "int8", crops(32))
    digests = {name: {crop.tobytes() for crop in given} for name, given in seen.items()}
    assert len(digests["judged"]) == len(digests["calibrated"]) == 16 and not digests["judged"] & digests["calibrated"]
    export(network(), recipe(), tmp_path / "m.onnx", "int8", crops(8), calibration=crops(32)[8:])
    assert len(seen["judged"]) == 8 and len(seen["calibrated"]) == 24


def test_a_dataset_without_training_faces_serves_or_is_named(tmp_path: Path) -> None:
    """It was a ZeroDivisionError."""
    dataset = make_dataset(tmp_path / "set", train=(), val=(), test=(7,), size=64, scheme_name="face70", margin=0.25)
    assert len(sample_crops(str(dataset), 5, recipe())) == 5
    with pytest.raises(FakeitError, match=r"set: no crops to take \(5 asked for\) of train"):
        sample_crops(str(dataset), 5, recipe(), ("train",))

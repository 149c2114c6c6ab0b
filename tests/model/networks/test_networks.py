"""Networks: exact parameter counts, any size, colour, scheme and head; pretrained weights by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fakeit.model.networks import NETWORKS, NetworkConfig, build, parameter_count
from fakeit.model.networks.network import IMAGENET_MEAN
from fakeit.pipelines.errors import FakeitError

# name, channels, size, outputs, parameters. With 1000 outputs the counts are torchvision's, or the Xception port's.
COUNTS = [
    ("xception_small", 1, 128, 136, 2_630_888),
    ("kaggle_cnn", 1, 96, 30, 3_371_486),
    ("resnet18", 3, 64, 1000, 11_689_512),
    ("resnet50", 3, 64, 1000, 25_557_032),
    ("mobilenet_v2", 3, 64, 1000, 3_504_872),
    ("xception", 3, 64, 1000, 22_855_952),
    ("lenet", 1, 32, 10, 61_706),
]


@pytest.mark.parametrize(("name", "channels", "size", "outputs", "count"), COUNTS)
def test_parameters_are_as_many_as_the_reference_has(
    name: str, channels: int, size: int, outputs: int, count: int
) -> None:
    assert parameter_count(build(NetworkConfig(name=name), outputs // 2, channels, size)) == count


def test_the_four_xception_variants_differ_as_they_should() -> None:
    full = parameter_count(build(NetworkConfig(name="xception"), 68, 3, 64))
    middle = 3 * (728 * 9 + 728 * 728 + 2 * 728)
    assert parameter_count(build(NetworkConfig(name="xception_leaky"), 68, 3, 64)) == full
    assert parameter_count(build(NetworkConfig(name="xception_mid6"), 68, 3, 64)) == full - 2 * middle
    leaky = build(NetworkConfig(name="xception_leaky"), 68, 3, 64)
    assert any(isinstance(m, torch.nn.LeakyReLU) for m in leaky.modules())
    assert not any(isinstance(m, torch.nn.ReLU) for m in leaky.modules())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("channels", "size", "points"), [(1, 32, 15), (3, 48, 70)])
def test_every_network_takes_any_size_colour_and_scheme(name: str, channels: int, size: int, points: int) -> None:
    network = build(NetworkConfig(name=name, width=0.25), points, channels, size).eval()
    images = torch.randint(0, 256, (2, size, size, channels), dtype=torch.uint8)
    with torch.no_grad():
        from_bytes = network(images).points
        from_pixels = network(images.permute(0, 3, 1, 2).float()).points
    assert from_bytes.shape == (2, points, 2) and from_bytes.dtype == torch.float32
    assert torch.equal(from_bytes, from_pixels)


@pytest.mark.parametrize("head", ["direct", "gaussian", "votes"])
@pytest.mark.parametrize("pool", ["average", "grid"])
def test_every_head_gives_points_and_gradients(head: str, pool: str) -> None:
    config = NetworkConfig(name="mobilenet_v2", width=0.25, head=head, pool=pool)  # type: ignore[arg-type]
    network = build(config, 5, 3, 64)
    prediction = network(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    assert prediction.points.shape == (2, 5, 2)
    assert (prediction.log_sigma is not None) == (head in ("gaussian", "votes"))
    prediction.points.square().sum().backward()
    assert all(p.grad is not None for p in network.backbone.parameters())


@pytest.mark.parametrize("name", ["resnet_lean", "resnet18", "mobilenet_v2"])
def test_votes_begin_about_the_mean_shape_and_say_what_is_hidden(name: str) -> None:
    config = NetworkConfig(name=name, width=0.25, head="votes", visibility=True, dense_modes=8)
    network = build(config, 5, 3, 64)
    mean = torch.tensor([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.4, 0.8], [0.6, 0.8]])
    network.head.start_at(mean)
    prediction = network(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    far = (prediction.points.mean(0) - 0.5).norm(dim=-1) < (mean - 0.5).norm(dim=-1) + 0.2
    assert far.all() and (prediction.points[:, 0, 0] < prediction.points[:, 1, 0]).all()
    assert prediction.visibility.shape == (2, 5) and prediction.dense.shape == (2, 400, 2)
    (prediction.visibility.sum() + prediction.dense.sum() + prediction.points.sum()).backward()
    assert all(p.grad is not None for p in network.parameters() if p is not network.head.vote.bias)


def test_a_pyramid_has_strides_8_16_and_32_and_ends_with_what_forward_gives() -> None:
    for name in ("resnet_lean", "resnet18"):
        backbone = build(NetworkConfig(name=name, width=0.25), 5, 3, 64).eval().backbone
        maps = backbone.pyramid(torch.rand(1, 3, 64, 64))
        assert [m.shape[-1] for m in maps] == [8, 4, 2]
        pixels = torch.rand(1, 3, 64, 64)
        assert torch.equal(backbone.pyramid(pixels)[-1], backbone(pixels))


def test_the_activation_is_an_option() -> None:
    network = build(NetworkConfig(name="kaggle_cnn", activation="selu"), 15, 1, 96)
    assert sum(isinstance(m, torch.nn.SELU) for m in network.modules()) == 4


def test_pretrained_weights_load_by_name_and_a_grey_stem_is_the_sum_of_colours(tmp_path: Path) -> None:
    reference = build(NetworkConfig(name="resnet18"), 500, 3, 64)
    stored = {**reference.backbone.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    path = tmp_path / "resnet18.pth"
    torch.save(stored, path)
    grey = build(NetworkConfig(name="resnet18", pretrained=str(path)), 5, 1, 64)
    own = grey.backbone.state_dict()
    assert torch.equal(own["conv1.weight"], stored["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(own["layer4.1.conv2.weight"], stored["layer4.1.conv2.weight"])
    assert grey.mean.item() == pytest.approx(255 * sum(IMAGENET_MEAN) / 3)


def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(build(NetworkConfig(name="resnet18"), 5, 3, 64).backbone.state_dict(), path)
    with pytest.raises(FakeitError, match="has no layer 'features.0.0.weight'"):
        build(NetworkConfig(name="mobilenet_v2", pretrained=str(path)), 5, 3, 64)
    path.write_bytes(b"not weights")
    with pytest.raises(FakeitError, match="is not a file of weights"):
        build(NetworkConfig(name="resnet18", pretrained=str(path)), 5, 3, 64)
    with pytest.raises(FakeitError, match="does not exist"):
        build(NetworkConfig(name="resnet18", pretrained=str(tmp_path / "none.pth")), 5, 3, 64)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NetworkConfig(name="resnet_18"), "did you mean 'resnet18'"),
        (NetworkConfig(name="lenet", head="votes"), "needs maps"),
    ],
)
def test_a_network_that_cannot_be_is_refused(config: NetworkConfig, message: str) -> None:
    with pytest.raises(FakeitError, match=message):
        build(config, 5, 3, 64)
    with pytest.raises(FakeitError, match="at least 32 pixels"):
        build(NetworkConfig(), 5, 3, 16)

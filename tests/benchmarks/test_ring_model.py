"""The model of many GPUs: its sums by hand, and its layers against the networks' own counts."""

from __future__ import annotations

import pytest

from benchmarks.ring_model import Layer, Link, exposed_seconds, layers_of, ring_seconds
from fakeit.model.comparison.cell import count_macs
from fakeit.model.networks import NetworkConfig, build, parameter_count

LINK = Link("", 1e9, 1e-3)


def test_a_ring_sends_each_byte_nearly_twice_and_waits_for_every_hop() -> None:
    assert ring_seconds(4e9, 4, LINK) == pytest.approx(2 * 3 / 4 * 4 + 6e-3)
    assert ring_seconds(1e9, 1, LINK) == 0


def test_what_the_backward_pass_hides() -> None:
    """Two layers of equal work: the last layer's gradients go while the first layer's are made."""
    layers, quick = [Layer(10**6, 5), Layer(10**6, 5)], Link("", 1e9, 0)
    one = ring_seconds(4e6, 2, quick)
    assert exposed_seconds(layers, 1.0, 4, 1.0, 2, quick) == pytest.approx(one)
    assert exposed_seconds(layers, 1.0, 4, 1e9, 2, quick) == pytest.approx(2 * one), "one bucket hides nothing"
    assert exposed_seconds(layers, one, 4, 1.0, 2, quick) == pytest.approx(1.5 * one), "half of the first was hidden"
    assert exposed_seconds(layers, 1.0, 2, 1.0, 2, quick) == pytest.approx(one / 2)


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2"])
def test_layers_are_those_of_the_network(name: str) -> None:
    layers, network = layers_of(name, 64), build(NetworkConfig(name=name), 70, 3, 64)
    assert sum(layer.parameters for layer in layers) == pytest.approx(parameter_count(network), abs=1000)
    assert sum(layer.macs for layer in layers) == pytest.approx(count_macs(network), rel=0.01)

"""One file per architecture, the heads, and a registry by name."""

from fakeit.model.networks.factory import NETWORKS, build
from fakeit.model.networks.network import LandmarkNetwork, NetworkConfig, Prediction, parameter_count

__all__ = ["NETWORKS", "LandmarkNetwork", "NetworkConfig", "Prediction", "build", "parameter_count"]

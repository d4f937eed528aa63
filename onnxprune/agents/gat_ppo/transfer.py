"""A trained network, carried from one model to another: what holds for graphs in general."""

from dataclasses import asdict
from pathlib import Path

from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.gat_ppo.policy import Network
from onnxprune.agents.policy_file import load_weights, read_policy
from onnxprune.agents.types import State
from onnxprune.observation import ObservationGraph

FORMAT = 1
SHAPE = ("encoder", "hidden", "heads", "layers")  # options that decide the weights' shapes


def carried(network: Network, observation: ObservationGraph, options: GatPpoOptions) -> State:
    """The network and what it must be read with, for `torch.save`."""
    return {"format": FORMAT, **expected(observation, options), "network": network.state_dict()}


def expected(observation: ObservationGraph, options: GatPpoOptions) -> State:
    return {
        **{name: asdict(options)[name] for name in SHAPE},
        "channel_features": list(observation.channel_features),
        "node_features": list(observation.node_features),
    }


def check_policy(path: Path, observation: ObservationGraph, options: GatPpoOptions) -> None:
    """Raises: UsageError: E208, the file is missing, damaged, or of a network of another shape."""
    read_policy(path, expected(observation, options), options=SHAPE, parts=("network",))


def take_over(network: Network, path: Path, observation: ObservationGraph, options: GatPpoOptions) -> None:
    """Give a network the weights of a saved one, in place.

    Raises:
        UsageError: E208, the file is missing, damaged, or of a network of another shape.
    """
    weights = read_policy(path, expected(observation, options), options=SHAPE, parts=("network",))
    load_weights({"network": network}, weights, path)

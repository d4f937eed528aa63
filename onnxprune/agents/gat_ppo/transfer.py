"""A trained network, carried from one model to another: what holds for graphs in general."""

from dataclasses import asdict
from pathlib import Path

from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.gat_ppo.policy import Network
from onnxprune.agents.policy_file import read_policy
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


def weights_of(path: Path, observation: ObservationGraph, options: GatPpoOptions) -> State:
    """Weights of a saved network, for `load_weights`; of the observation the names of the features count.

    Raises:
        UsageError: E208, the file is missing, damaged, or of a network of another shape.
    """
    return read_policy(path, expected(observation, options), options=SHAPE, parts=("network",))

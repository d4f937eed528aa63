"""Trained networks, carried from one model to another: encoder, decoder, actor and critic."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import nn

from onnxprune.agents.agmc.graph import MapGraph
from onnxprune.agents.agmc.options import AgmcOptions
from onnxprune.agents.policy_file import read_policy
from onnxprune.agents.types import State

FORMAT = 1
SHAPE = ("features", "recall", "width", "embedding", "layers", "hidden")  # options that decide the weights'
Networks = Mapping[str, nn.Module]


def carried(networks: Networks, graph: MapGraph, options: AgmcOptions) -> State:
    """The networks and what they must be read with, for `torch.save`."""
    weights = {name: network.state_dict() for name, network in networks.items()}
    return {**expected(graph, options), "weights": weights}


def expected(graph: MapGraph, options: AgmcOptions) -> State:
    return {
        "agmc_format": FORMAT,
        **{name: asdict(options)[name] for name in SHAPE},
        "map_features": list(graph.names),
    }


def weights_of(path: Path, graph: MapGraph, options: AgmcOptions) -> State:
    """Weights of saved networks by their names, for `load_weights`.

    Raises:
        UsageError: E208, the file is missing, damaged, or of networks of another shape.
    """
    saved: State = read_policy(path, expected(graph, options), options=SHAPE, parts=("weights",))["weights"]
    return saved

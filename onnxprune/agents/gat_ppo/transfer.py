"""A trained network, carried from one model to another: what holds for graphs in general."""

from dataclasses import asdict
from pathlib import Path

import torch

from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.gat_ppo.policy import Network
from onnxprune.agents.types import State
from onnxprune.errors import UsageError
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


def take_over(network: Network, path: Path, observation: ObservationGraph, options: GatPpoOptions) -> None:
    """Give a network the weights of a saved one, in place.

    Raises:
        UsageError: E208, the file is missing, damaged, or of a network of another shape.
    """
    hint = "give the policy.pt of a finished search"
    try:
        saved = torch.load(path, weights_only=True)
        found = {name: saved[name] for name in expected(observation, options)}
        weights = saved["network"]
    except FileNotFoundError as error:
        raise UsageError("E208", f"policy {str(path)!r} does not exist", hint=hint) from error
    except Exception as error:  # torch.load raises whatever a damaged file leads it to
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError("E208", f"policy {path.name} cannot be read", cause=cause, hint=hint) from error
    for name, wanted in expected(observation, options).items():
        if found[name] != wanted:
            raise UsageError(
                "E208",
                f"policy {path.name} has {name} {found[name]!s:.50}, not {wanted!s:.50}",
                hint=f"--agent-option {name}={found[name]}"
                if name in SHAPE
                else "train one with this version",
            )
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError("E208", f"policy {path.name} does not fit", cause=cause, hint=hint) from error

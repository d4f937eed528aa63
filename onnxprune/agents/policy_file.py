"""Reading the policy that an earlier search has left, for agents that carry networks from model to model."""

from collections.abc import Mapping
from pathlib import Path

import torch

from onnxprune.agents.types import State
from onnxprune.errors import UsageError

HINT = "give the policy.pt of a finished search"
OTHER = "take one of a search by this version, with a bound on the latency only where this one has one"


def read_policy(path: Path, wanted: State, *, options: tuple[str, ...], parts: tuple[str, ...]) -> State:
    """Weights by the name of a network's part.

    Args:
        path: Of the file.
        wanted: What a policy must have been made with, by name.
        options: Names among these that are options of the agent.
        parts: Networks that it must hold.

    Raises:
        UsageError: E208, the file is missing, damaged, or of networks of another shape.
    """
    try:
        saved = torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise UsageError("E208", f"policy {str(path)!r} does not exist", hint=HINT) from error
    except Exception as error:  # torch.load raises whatever a damaged file leads it to
        raise UsageError("E208", f"policy {path.name} cannot be read", hint=HINT) from error
    if not isinstance(saved, dict) or not {*wanted, *parts} <= saved.keys():
        raise UsageError("E208", f"policy {path.name} is none of this agent", hint=HINT)
    found = {name: saved[name] for name in wanted}
    weights = {name: saved[name] for name in parts}
    if not all(finite(one) for one in weights.values()):
        raise UsageError("E208", f"policy {path.name} holds numbers that are not finite", hint=HINT)
    for name, own in wanted.items():
        if found[name] != own and name in options:
            raise UsageError(
                "E208",
                f"policy {path.name} has {name} {found[name]!s:.50}, not {own!s:.50}",
                hint=f"--agent-option {name}={found[name]}",
            )
        if found[name] != own:
            raise UsageError("E208", f"policy {path.name} {difference(name, found[name], own)}", hint=OTHER)
    return weights


def finite(weights: object) -> bool:
    """Whether all numbers of a part are."""
    tensors = weights.values() if isinstance(weights, Mapping) else ()
    return all(bool(torch.isfinite(one).all()) for one in tensors if isinstance(one, torch.Tensor))


def difference(name: str, found: object, own: object) -> str:
    """What a policy lacks, and has too much, of the features of that name."""
    if not (isinstance(found, list) and isinstance(own, list)):
        return f"has {name} {found!s:.50}, not {own!s:.50}"
    lacks = [str(one) for one in own if one not in found]
    more = [str(one) for one in found if one not in own]
    parts = ["lacks " + ", ".join(lacks)] * bool(lacks) + ["has " + ", ".join(more)] * bool(more)
    return f"{' and '.join(parts) or 'has another order'} among its {name.replace('_', ' ')}"


def load_weights(networks: Mapping[str, torch.nn.Module], weights: State, path: Path) -> None:
    """Give networks the weights of a policy, in place.

    Raises:
        UsageError: E208, they are of another shape.
    """
    try:
        for name, network in networks.items():
            network.load_state_dict(weights[name])
    except (RuntimeError, TypeError, AttributeError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError("E208", f"policy {path.name} does not fit", cause=cause, hint=HINT) from error

"""All agents by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, cast, get_args

from onnxprune.agents import annealing, cross_entropy, evolution, greedy, one_shot, random_search, rl_pruner
from onnxprune.agents.options import PRIOR
from onnxprune.agents.types import Agent, Problem
from onnxprune.allocation import ALLOCATIONS
from onnxprune.environment.rewards import Kind

VARIANTS = ("fixed", "paper")
COMPETING = get_args(Kind)  # rewards of gat-ppo
BY_COST = ("accuracy", "cost")  # of amc and agmc
BY_SAVING = ("accuracy", "macs", "params")  # of rl-pruner
TORCH = ("torch",)
Make = Callable[[Problem, Mapping[str, Any] | None], Agent]


@dataclass(frozen=True)
class AgentKind:
    """A kind of agent.

    Attributes:
        name: As a user says it.
        make: From the problem and options by name, None for the defaults.
        help: One line.
        packages: Modules that it needs beside numpy and scipy.
        variants: Values of its option `variant`, where what was published and what is right differ.
        rewards: Values of its option `reward`, where it learns from several kinds.
        carries: It can begin with the policy of another search.
    """

    name: str
    make: Make
    help: str
    packages: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    rewards: tuple[str, ...] = ()
    carries: bool = False

    @property
    def needs_torch(self) -> bool:
        return "torch" in self.packages


def learning(package: str, problem: Problem, options: Mapping[str, Any] | None = None) -> Agent:
    """An agent with networks; torch is imported here."""
    return cast(Agent, import_module(f"onnxprune.agents.{package}").make(problem, options))


def one_allocation(how: str, problem: Problem, options: Mapping[str, Any] | None = None) -> Agent:
    """One allocation of the prior, or of the criteria that the options name."""
    return one_shot.make(problem, {"criteria": PRIOR, **(options or {}), "allocations": how})


KINDS = (
    *(
        AgentKind(name, partial(learning, name.replace("-", "_")), line, packages, variants, rewards, carries)
        for name, line, packages, variants, rewards, carries in (
            (
                "gat-ppo",
                "attention over the channel graph, learns which channels to keep",
                ("torch", "torch_geometric"),
                (),
                COMPETING,
                True,
            ),
            ("amc", "a keep ratio a group by DDPG, held by an action wall", TORCH, VARIANTS, BY_COST, False),
            ("agmc", "DDPG on an encoder of the graph and an LSTM, rescaled", TORCH, VARIANTS, BY_COST, True),
            (
                "gnn-rl",
                "graph convolution on two levels, learns keep ratios step by step",
                TORCH,
                VARIANTS,
                (),
                False,
            ),
        )
    ),
    AgentKind("one-shot", one_shot.make, "every criterion with every allocation, each once"),
    AgentKind("random", random_search.make, "random keep ratios"),
    AgentKind("greedy", greedy.make, "sensitivity of each group alone, then steps from group to group"),
    AgentKind("cross-entropy", cross_entropy.make, "a Gaussian over keep ratios, fitted to the elite"),
    AgentKind("annealing", annealing.make, "small moves, worse ones accepted less and less"),
    AgentKind("evolution", evolution.make, "a population of masks: crossover, mutation, the best survive"),
    AgentKind(
        "rl-pruner",
        rl_pruner.make,
        "pruning steps, shared out by a policy over the groups",
        variants=VARIANTS,
        rewards=BY_SAVING,
    ),
    *(
        AgentKind(how, partial(one_allocation, how), f"the prior criterion with allocation {how}, once")
        for how in ALLOCATIONS
    ),
)

AGENTS: dict[str, AgentKind] = {kind.name: kind for kind in KINDS}

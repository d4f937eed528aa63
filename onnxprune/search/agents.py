"""The agent that the options of a search name: whether it is there, what it is handed, and itself."""

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from onnxprune.agents.table import AGENTS, AgentKind
from onnxprune.agents.types import Agent, Floats, Problem
from onnxprune.criteria import CRITERIA
from onnxprune.errors import RuntimeProblem, UsageError
from onnxprune.evaluation import check_scheduler
from onnxprune.search.options import SearchOptions

PRIORS = ("obs", "wanda", "group-l2")  # by falling promise
CARRYING = {"init_policy": "--init-policy FILE", "freeze_encoder": "--freeze-encoder"}


def prior_of(options: SearchOptions) -> str:
    """As asked, or the most promising that there is."""
    auto = next(name for name in PRIORS if name in CRITERIA)
    return auto if options.prior == "auto" else options.prior


def make_agent(problem: Problem, options: SearchOptions) -> Agent:
    """The agent that the options name.

    Raises:
        UsageError: E201, E202, an option that it does not have, or a value that it refuses.
    """
    return kind_of(options.agent).make(problem, agent_options(options))


class ScoresAsked(Exception):
    """An agent is past its options and looks at the model."""


def check_agent(problem: Problem, options: SearchOptions) -> None:
    """Whether the agent takes its options, and the criterion that it begins with can be had of the model.

    What needs samples is not asked: that would be work.

    Raises:
        UsageError: E201, E202, an option that it does not have, or a value that it refuses.
        UnsupportedError: E403, a criterion that this model cannot give.
    """
    asked: set[str] = set()

    def scores(criterion: str) -> Mapping[str, Floats]:
        asked.add(criterion)
        if CRITERIA[criterion].needs_data or len(asked) > 1:
            raise ScoresAsked
        return problem.scores(criterion)

    with suppress(ScoresAsked):
        make_agent(replace(problem, scores=scores), options)
    if not CRITERIA[problem.prior].needs_data:
        problem.scores(problem.prior)


def kind_of(name: str) -> AgentKind:
    """Raises: UsageError: E201, an agent that is not known."""
    require_known("--agent", name, tuple(AGENTS))
    return AGENTS[name]


def agent_options(options: SearchOptions) -> dict[str, Any]:
    """What is handed to the agent, by name.

    Raises:
        UsageError: E201, a text that is not KEY=VALUE, a key that is given twice, or one that has an option
            of its own.
    """
    given: dict[str, Any] = {}
    for text in options.agent_option:
        name, value = key_and_value(text)
        if name in given:
            raise UsageError("E201", f"--agent-option {name} is given twice: {given[name]} and {value}")
        given[name] = value
    for name in ("variant", "reward"):
        value = getattr(options, name)
        if value is None:
            continue
        if given.get(name, value) != value:
            raise UsageError("E201", f"--{name} {value}, but --agent-option {name}={given[name]}")
        given[name] = value
    if options.init_policy is not None:
        given["init_policy"] = options.init_policy
    if options.freeze_encoder:
        given["freeze_encoder"] = True
    return given


def key_and_value(text: str) -> tuple[str, str]:
    """Of an --agent-option; raises: UsageError: E201, it is not KEY=VALUE, or has an option of its own."""
    key, equals, value = text.partition("=")
    name = key.strip().replace("-", "_")
    if not equals or not name:
        raise UsageError("E201", f"--agent-option {text}: want KEY=VALUE, such as --agent-option clip=0.1")
    if name in CARRYING:
        raise UsageError("E201", f"--agent-option {text}: it has an option of its own", hint=CARRYING[name])
    return name, value.strip()


def require_packages(options: SearchOptions) -> None:
    """Whether all is there that the search needs; before any work.

    Raises:
        RuntimeProblem: E603, the agent or the scheduler needs what is not installed.
        UsageError: E201, the scheduler has no address.
    """
    if options.cluster is not None:
        check_scheduler(options.cluster)
    kind = kind_of(options.agent)
    missing = missing_packages(kind)
    if missing:
        raise RuntimeProblem(
            "E603",
            f"agent {kind.name} needs {' and '.join(missing)}, not installed here",
            hint='pip install "onnxprune[agents]", or another --agent, such as greedy',
        )


def missing_packages(kind: AgentKind) -> list[str]:
    """What the agent needs and is not installed."""
    return [name for name in kind.packages if not installed(name)]


def installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a module that is blocked
        return False


def check_carrying(options: SearchOptions) -> None:
    """Raises: UsageError: E201, a policy for an agent that cannot begin with one, or an encoder of none."""
    given = {"--init-policy": options.init_policy, "--freeze-encoder": options.freeze_encoder}
    flag = next((name for name, value in given.items() if value), None)
    if flag and not kind_of(options.agent).carries:
        able = " and ".join(name for name, kind in AGENTS.items() if kind.carries)
        raise UsageError(
            "E201", f"{flag}: agent {options.agent} cannot begin with a policy", hint=f"{able} can"
        )
    if options.freeze_encoder and options.init_policy is None:
        raise UsageError(
            "E201",
            "--freeze-encoder: without a policy the encoder is random, and would stay so",
            hint="--init-policy FILE, the policy.pt of another search",
        )


def check_kind(options: SearchOptions) -> None:
    """Raises: UsageError: E201, an agent that is not known, or a variant or reward that it does not have."""
    kind = kind_of(options.agent)
    check_choice(kind, "variants", "--variant", options.variant)
    check_choice(kind, "rewards", "--reward", options.reward)


def check_choice(kind: AgentKind, what: str, option: str, value: str | None) -> None:
    """Raises: UsageError: E201, one of the agent's variants or rewards that it does not have."""
    if value is None:
        return
    known: dict[str, tuple[str, ...]] = {name: getattr(one, what) for name, one in AGENTS.items()}
    if not known[kind.name]:
        raise UsageError(
            "E201",
            f"{option} {value}: agent {kind.name} has no {what} to choose from",
            hint=f"leave it out, or take an --agent that has: {', '.join(n for n in known if known[n])}",
        )
    require_known(option, value, known[kind.name])


def require_known(option: str, name: str, known: tuple[str, ...]) -> None:
    """Raises: UsageError: E201, with the nearest name."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        raise UsageError("E201", f"unknown {option} '{name}'", hint=hint)

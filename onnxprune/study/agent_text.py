"""How a study names an agent and its options: NAME or NAME:KEY=VALUE,..."""

from collections.abc import Callable, Iterator
from itertools import groupby

from onnxprune.agents.options import read
from onnxprune.errors import UsageError

POLICY = "init_policy"  # option of agents that begin with the policy of another search, a file
FROZEN = "freeze_encoder"  # option of the same


def pairs(text: str) -> Iterator[str]:
    """KEY=VALUE of a text with commas; what has no = belongs to the value before.

    >>> list(pairs("criteria=l1,l2,allocations=uniform"))
    ['criteria=l1,l2', 'allocations=uniform']
    """
    numbered, number = [], 0
    for part in text.split(",") if text else ():
        number += "=" in part
        numbered.append((number, part))
    for _, some in groupby(numbered, key=lambda pair: pair[0]):
        yield ",".join(part for _, part in some)


def with_policy(agent: str, change: Callable[[str], str]) -> str:
    """The text of an agent, the file of its policy changed.

    >>> with_policy("agmc:stages=2,init_policy=a.pt", str.upper)
    'agmc:stages=2,init_policy=A.PT'
    """
    name, colon, given = agent.partition(":")
    found = [
        f"{POLICY}={change(one.partition('=')[2])}" if name_of(one) == POLICY else one for one in pairs(given)
    ]
    return f"{name}{colon}{','.join(found)}"


def apart(agent: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What it begins with, by name, and its other options, as KEY=VALUE.

    >>> apart("agmc:stages=2,init_policy=a.pt,freeze_encoder=yes")
    ({'init_policy': 'a.pt', 'freeze_encoder': 'yes'}, ('stages=2',))

    Raises:
        UsageError: E201, the policy, or whether its encoder learns, is given twice.
    """
    own, others = {}, []
    for one in pairs(agent.partition(":")[2]):
        name = name_of(one)
        if name not in (POLICY, FROZEN):
            others.append(one)
        elif name in own:
            raise UsageError("E201", f"agent {agent}: {name} is given twice")
        else:
            own[name] = one.partition("=")[2]
    return own, tuple(others)


def name_of(pair: str) -> str:
    return pair.partition("=")[0].strip().replace("-", "_")


def is_frozen(agent: str) -> bool:
    """Whether the encoder of its policy does not learn.

    Raises:
        UsageError: E202, neither yes nor no.
    """
    value = apart(agent)[0].get(FROZEN, "no")
    try:
        return bool(read(value, default=False))
    except ValueError as error:
        raise UsageError("E202", f"agent {agent}: {FROZEN} is {value!r}, want yes or no") from error

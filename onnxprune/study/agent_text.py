"""How a study names an agent and its options: NAME or NAME:KEY=VALUE,..."""

from collections.abc import Callable, Iterator
from itertools import groupby

POLICY = "init_policy"  # option of agents that begin with the policy of another search, a file


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
        f"{POLICY}={change(one.partition('=')[2])}" if one.startswith(f"{POLICY}=") else one
        for one in pairs(given)
    ]
    return f"{name}{colon}{','.join(found)}"

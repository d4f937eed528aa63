"""Options of agents are read from text and refused with what would have been right."""

from dataclasses import dataclass

import pytest

from onnxprune.agents.options import read_options, require
from onnxprune.errors import UsageError


@dataclass(frozen=True)
class Some:
    share: float = 0.5
    count: int = 3
    on: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.count > 0, "count must be above 0")


def test_values_take_the_type_of_the_default() -> None:
    given = {"share": "0.25", "count": 7.0, "on": "yes", "names": "a, b"}
    assert read_options(Some, given) == Some(0.25, 7, True, ("a", "b"))
    assert read_options(Some, None) == Some()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"shares": 1}, "E201", "did you mean 'share'"),
        ({"x": 1}, "E201", "there are share, count, on, names"),
        ({"count": 1.5}, "E202", "must be of type int"),
        ({"count": "many"}, "E202", "must be of type int"),
        ({"on": "perhaps"}, "E202", "must be of type bool"),
        ({"share": None}, "E202", "must be of type float"),
        ({"share": "nan"}, "E202", "must be of type float and finite"),
        ({"count": float("inf")}, "E202", "must be of type int and finite"),
        ({"count": 0}, "E202", "count must be above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], code: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_options(Some, given)
    assert caught.value.code == code
    assert said in str(caught.value)

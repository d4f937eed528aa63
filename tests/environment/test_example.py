"""The example runs, and somebody else's agent learns on the environment."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("gymnasium")
pytest.importorskip("torch")

EXAMPLE = Path(__file__).parents[2] / "examples" / "gymnasium_ppo.py"
WHAT = ("best", "mean")


@pytest.fixture
def figures(monkeypatch, capsys):
    """Runs the example with options; best and mean accuracies that it prints in the end."""
    spec = importlib.util.spec_from_file_location("gymnasium_ppo", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)

    def run(*options: str) -> dict[str, float]:
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *options])
        module.main()
        rows = re.findall(r"^  (\w+) +best ([\d.]+) +mean.* ([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
        return {f"{who} {what}": float(x) for who, *xs in rows for what, x in zip(WHAT, xs, strict=True)}

    return run


def test_an_agent_that_knows_nothing_of_pruning_learns(figures) -> None:
    found = figures("--episodes", "192")
    assert found["PPO mean"] > found["random mean"]


@pytest.mark.parametrize("kind", ["rounds", "group-wise"])
def test_it_walks_in_several_steps_too(figures, kind) -> None:
    assert figures("--episodes", "16", "--kind", kind).keys() == {
        f"{who} {what}" for who in ("PPO", "random") for what in WHAT
    }


@pytest.mark.parametrize(
    "words", [("--episodes", "0"), ("--episodes", "-1"), ("--episodes", "many"), ("--seed", "-1")]
)
def test_numbers_that_make_no_sense_are_refused_in_a_line(figures, capsys, words) -> None:
    with pytest.raises(SystemExit) as end:
        figures(*words)
    assert end.value.code == 2
    assert f"argument {words[0]}: {words[1]} is no whole number of at least" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1"])
def test_its_best_masks_are_better_than_those_of_random_bits(figures, seed) -> None:
    found = figures("--episodes", "400", "--seed", seed)
    assert found["PPO best"] > found["random best"]
    assert found["PPO mean"] > found["random mean"] + 0.05

"""A small model whose classes can be told apart, samples for it, problems and scores without ONNX Runtime."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Agent, Problem
from onnxprune.cost import CostModel
from onnxprune.criteria import score
from onnxprune.groups import find_groups
from onnxprune.masks import Masks, masks_hash
from onnxprune.onnx_file import load_graph
from onnxprune.search import Baseline, Listener, Loop, SearchOptions
from onnxprune.search.history import Scored
from onnxprune.search.journal import Journal
from onnxprune.search.scoring import Level
from onnxprune.target import Constraints, parse_target, resolve_align, settle
from tests import killing
from tests.compression.conftest import told_apart, write_samples
from tests.onnx_file.small_models import normal, parsed

ROWS = 24
GO_ON = """
from onnxprune.search import resume, search
search(resume(Path(sys.argv[1]), {}))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Three times Conv and Relu, pool, Gemm; input x (N, 3, 8, 8), output y (N, 5)."""
    path = tmp_path / "model.onnx"
    onnx.save(three_convolutions(np.random.default_rng(0)), path)
    return path


def three_convolutions(rng: np.random.Generator) -> onnx.ModelProto:
    """Enough channels for hundreds of different masks; every class is predicted now and then."""
    return told_apart(
        parsed(
            """<ir_version: 8, opset_import: ["" : 17]>
        three (float[N, 3, 8, 8] x) => (float[N, 5] y) {
            a = Conv<pads = [1, 1, 1, 1]>(x, a_w)
            b = Relu(a)
            c = Conv(b, c_w)
            d = Relu(c)
            e = Conv(d, e_w)
            f = Relu(e)
            p = GlobalAveragePool(f)
            g = Flatten(p)
            y = Gemm<transB = 1>(g, fc_w, fc_b)
        }""",
            a_w=normal(rng, 12, 3, 3, 3),
            c_w=normal(rng, 16, 12, 3, 3),
            e_w=normal(rng, 12, 16, 3, 3),
            fc_w=normal(rng, 5, 12),
            fc_b=np.zeros(5, np.float32),
        )
    )


@pytest.fixture
def samples(model: Path, tmp_path: Path) -> Path:
    """Labelled by the model itself, so that it is always right."""
    return write_samples(tmp_path / "samples.npz", model)


def options(model: Path, samples: Path, **others: object) -> SearchOptions:
    from onnxprune.search.options import SCHEMA

    given = {"agent": "random", "evaluations": 12, "batch": 4, "target": ("macs=50%",), "channels.align": "1"}
    changed = {name.replace("__", "."): value for name, value in others.items()}
    return SCHEMA.make({**given, "model": str(model), "data": str(samples), **changed})


@pytest.fixture
def problem(model: Path) -> Problem:
    return problem_of(model)


def problem_of(model: Path, *, evaluations: int = 24, target: str = "macs=50%", seed: int = 0) -> Problem:
    groups = find_groups(load_graph(model))
    cost_model = CostModel(groups)
    wanted = parse_target([target])
    asked = Constraints(resolve_align("1"))

    @cache
    def scores(criterion: str) -> dict[str, np.ndarray]:
        return dict(score(groups, criterion))

    settled = settle(cost_model, target=wanted, constraints=asked)
    return Problem(cost_model, wanted, settled, scores, "group-l2", evaluations, seed)


class FakeScore:
    """Accuracies from the hash of the masks alone; remembers what it was asked, and fails where told."""

    def __init__(self, fails: Callable[[int], str] = lambda _number: "") -> None:
        self.asked: list[str] = []
        self.fails = fails

    def __call__(self, masks: Sequence[Masks], _level: Level) -> Iterator[Scored]:
        for one in masks:
            key = masks_hash(one)
            self.asked.append(key)
            error = self.fails(len(self.asked))
            yield Scored(None, 0, error) if error else Scored(int(key[:6], 16) / 16**6, ROWS)


def make_loop(problem: Problem, folder: Path, **parts: object) -> Loop:
    """A loop over a fake score, resumed where there is something to resume."""
    agent = parts.pop("agent", "random")
    made = agent if isinstance(agent, Agent) else AGENTS[str(agent)].make(problem, None)
    folder.mkdir(exist_ok=True)
    settings = {"score": FakeScore(), "listener": Listener(), "batch": 5, **parts}
    loop = Loop(
        problem, made, baseline=Baseline(1.0, "top1", 1, ROWS), journal=Journal(folder / "search"), **settings
    )
    loop.resume()
    return loop


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "search" / "episodes.jsonl").read_text().splitlines()]


def killed(run: Path, patch: str) -> None:
    """Go on with a run in another process that is killed where the patch says so."""
    killing.killed(run, patch, GO_ON)

"""A stopwatch that measures nothing: pieces take what their extents say, whole models what a test wants."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.cost import CostModel
from onnxprune.errors import ModelError
from onnxprune.groups import Groups, find_groups
from onnxprune.latency import Beside, RuntimeWatch, Setting, Store, TimedCostModel, measure_table
from onnxprune.latency.extract import Piece
from onnxprune.latency.store import ENVIRONMENT
from onnxprune.masks import Masks
from onnxprune.measurement.statistics import Band
from onnxprune.onnx_file import load_graph
from onnxprune.target import Alignment, Constraints
from tests.search.conftest import three_convolutions

SETTING = Setting("CPUExecutionProvider", 1, "cpu", "1.0", "a processor")
ORIGINAL_MS = 10.0
UNALIGNED = Constraints(Alignment(1, 1))


@dataclass
class FakeWatch:
    """Whole models take 10 ms times `share` of their masks; noise is as `control` says.

    Attributes:
        groups: Of the original.
        share: Masks -> what they take of the original.
        control: Of the original beside itself.
        fails: Names of contractions whose pieces do not run.
        pieces: Signatures that were timed.
        wholes: Masks that were measured.
    """

    groups: Groups
    share: Callable[[Masks], float]
    control: Band = field(default_factory=lambda: Band(1.0, 1.0))
    fails: tuple[str, ...] = ()
    pieces: list[str] = field(default_factory=list)
    wholes: list[Masks] = field(default_factory=list)

    def setting(self) -> Setting:
        return SETTING

    def piece_ns(self, piece: Piece) -> float:
        if piece.name in self.fails:
            raise ModelError("E309", f"{piece.name} does not run")
        self.pieces.append(piece.signature)
        return float(size_of(piece))

    def beside(self, models: Sequence[Masks]) -> list[Beside]:
        self.wholes += models
        shares = [self.share(masks) for masks in models]
        return [
            Beside(ORIGINAL_MS * share, ORIGINAL_MS, share, self.control, "CPUExecutionProvider", "cpu", 30)
            for share in shares
        ]


def size_of(piece: Piece) -> int:
    """Elements of all weights of a piece, so that its time grows with every extent."""
    graph = onnx.load_from_string(piece.content).graph
    return 1 + sum(math.prod(tensor.dims) for tensor in graph.initializer)


def by_macs(groups: Groups) -> Callable[[Masks], float]:
    """A tenth for whatever else there is, the rest by MACs."""
    model = CostModel(groups)
    whole = model.count({}).macs
    return lambda masks: 0.1 + 0.9 * model.count(masks).macs / whole


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    """Three times Conv and Relu, pool, Gemm; input x (N, 3, 8, 8), output y (N, 5)."""
    path = tmp_path / "model.onnx"
    onnx.save(three_convolutions(np.random.default_rng(0)), path)
    return path


@pytest.fixture
def groups(model_path: Path) -> Groups:
    return find_groups(load_graph(model_path))


@pytest.fixture
def watch(groups: Groups) -> FakeWatch:
    return FakeWatch(groups, by_macs(groups))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", SETTING)


@pytest.fixture
def timed(groups: Groups, watch: FakeWatch, store: Store) -> TimedCostModel:
    return TimedCostModel(groups, measure_table(groups, UNALIGNED, watch, store))


def leading(groups: Groups, *counts: int) -> Masks:
    """Masks of the first channels of each prunable group."""
    pairs = zip(groups.prunable, counts, strict=True)
    return {group.name: np.arange(group.channels) < count for group, count in pairs}


def stand_in(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    share_of: Callable[[Groups], Callable[[Masks], float]] = by_macs,
) -> None:
    """Let what would run ONNX Runtime ask a `FakeWatch`, and keep times in a folder of the test."""

    def beside(watch: RuntimeWatch, models: Sequence[Masks]) -> list[Beside]:
        return FakeWatch(watch.groups, share_of(watch.groups)).beside(models)

    monkeypatch.setenv(ENVIRONMENT, str(cache))
    monkeypatch.setattr(RuntimeWatch, "setting", lambda _watch: SETTING)
    monkeypatch.setattr(RuntimeWatch, "piece_ns", lambda _watch, piece: float(size_of(piece)))
    monkeypatch.setattr(RuntimeWatch, "beside", beside)

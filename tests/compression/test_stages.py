"""Several stages: bounds that fall evenly, masks of the original, a target that is met exactly at the end."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.compression import CompressOptions, RunFolder, compress, searching, start, summary_of
from onnxprune.compression.stages import Stage, between, on_base, stages_of
from onnxprune.cost import Cost, CostModel, TimedCost
from onnxprune.errors import OnnxPruneError, RuntimeProblem, TargetError, UnsupportedError
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks, load_masks, masks_hash
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.runs.folder import read_json
from onnxprune.target import parse_target
from onnxprune.target.bounds import texts_of
from tests.compression.conftest import hashes, options, with_run, write_samples
from tests.latency.conftest import stand_in
from tests.search.conftest import three_convolutions

STAGED = {
    "stages.count": 3,
    "stages.stage_epochs": 1,
    "distill.epochs": 2,
    "target": ("macs=35%", "params=60%"),
}
UNTRAINED = {"stages.stage_epochs": 0, "distill.enabled": False}
UNREPAIRED = {**UNTRAINED, "reconstruct.enabled": False}
FOLDERS = ("stages/1", "stages/2", ".")
WHOLE = Cost(macs=1_000_000, params=8000, bytes=32_000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model that has channels to choose from, and a run of three stages."""
    return with_run(tmp_path_factory.mktemp("made"), three_convolutions(np.random.default_rng(0)), **STAGED)


@pytest.fixture
def groups(model: Path) -> Groups:
    return find_groups(load_graph(model))


@pytest.fixture
def compressed(model: Path, samples: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    def made_so(**others: Any) -> RunFolder:
        run = start(options(model, samples, **{**STAGED, **others}), tmp_path / "run", ["words"])
        compress(run)
        return run

    return made_so


def masks_of(run: RunFolder, groups: Groups) -> list[Masks]:
    """What each stage keeps of the original."""
    return [load_masks(run.path / folder / "masks.json", groups) for folder in FOLDERS]


# --- what each stage is to reach --------------------------------------------------------------------


def test_every_stage_takes_the_same_share_of_what_is_left() -> None:
    target = parse_target(["macs=12.5%", "bytes=4KB"])
    found = [between(target, WHOLE, Fraction(k, 3)).limits(WHOLE) for k in (1, 2, 3)]
    assert [limits["macs"] for limits in found] == [500_000, 250_000, 125_000]
    assert [limits["bytes"] for limits in found] == [16_000, 8000, 4000]


@given(st.integers(1, 10**13), st.integers(1, 10**13), st.integers(1, 9))
def test_bounds_fall_from_stage_to_stage_and_never_below_the_target(
    whole: int, limit: int, count: int
) -> None:
    original = Cost(macs=whole, params=1, bytes=1)
    target = parse_target([f"macs={limit / 1000:.3f}k"])
    asked = target.limits(original)["macs"]
    steps = [between(target, original, Fraction(k, count)) for k in range(count + 1)]
    found = [step.limits(original)["macs"] for step in steps]
    assert found == sorted(found, reverse=True)
    assert found[0] >= min(asked, whole)
    assert found[-1] == asked or asked > whole
    assert all(parse_target(texts_of(step)) == step for step in steps)


def test_the_last_stage_is_asked_for_what_the_user_wrote() -> None:
    asked = CompressOptions("m.onnx", "d.npz", ("macs=29%", "params=1.2k"))
    staged = replace(asked, stages=replace(asked.stages, count=2, stage_epochs=4))
    first, last = (stage.options(staged, WHOLE) for stage in stages_of(staged.stages.count))
    assert last == staged
    assert (first.distill.epochs, first.distill.enabled) == (4, True)
    assert first.target != staged.target
    without = replace(staged, stages=replace(staged.stages, stage_epochs=0))
    assert not Stage(1, 2).options(without, WHOLE).distill.enabled


def test_latency_is_a_share_of_what_was_measured_before() -> None:
    whole = TimedCost(1_000_000, 8000, 32_000, latency_ns=10_000_000)
    for text in ("latency=25%", "latency=2.5ms"):
        half = between(parse_target([text]), whole, Fraction(1, 2))
        assert str(half) == "latency=50%"
    asked = on_base(parse_target(["latency=25%", "latency=2ms", "macs=25%"]), whole, 0.5)
    assert str(asked) == "macs=250000 latency=50% latency=2ms"
    assert str(on_base(half, whole, 0.4)) == "latency=100%"


# --- a run ------------------------------------------------------------------------------------------


def test_the_target_is_met_in_the_cost_of_the_original_and_each_stage_meets_its_own(
    finished: RunFolder, groups: Groups
) -> None:
    cost_model, summary = CostModel(groups), summary_of(finished)
    whole = cost_model.count({})
    for number, (masks, stage) in enumerate(
        zip(masks_of(finished, groups), summary["stages"], strict=True), 1
    ):
        part = between(parse_target(["macs=35%", "params=60%"]), whole, Fraction(number, 3))
        assert part.met_by(cost_model.count(masks), original=whole)
        assert stage["cost"] == vars(cost_model.count(masks))
        assert all(target["met"] for target in stage["targets"])
    assert [target["target"] for target in summary["targets"]] == ["macs=35%", "params=60%"]
    recounted = CostModel(find_groups(load_graph(finished.path / "final.onnx"))).count({})
    assert vars(recounted) == summary["stages"][-1]["cost"]
    assert summary["models"][1]["macs"] == recounted.macs <= 0.35 * whole.macs


def test_a_stage_only_takes_away(finished: RunFolder, groups: Groups) -> None:
    first, second, last = masks_of(finished, groups)
    for name in first:
        assert not (second[name] & ~first[name]).any()
        assert not (last[name] & ~second[name]).any()
    assert len({masks_hash(masks) for masks in (first, second, last)}) == 3


def test_every_model_says_that_it_is_of_the_original(
    finished: RunFolder, groups: Groups, model: Path
) -> None:
    original = onnx.load(model)
    for folder, masks in zip(FOLDERS, masks_of(finished, groups), strict=True):
        pruned = prune(groups, masks)
        for name in ("pruned", "reconstructed", "student", "final"):
            written = onnx.load(finished.path / folder / f"{name}.onnx")
            assert [i.dims for i in written.graph.initializer] == [i.dims for i in pruned.graph.initializer]
            assert written.graph.input == original.graph.input
            told = {p.key: p.value for p in written.metadata_props}
            assert told["onnxprune.masks_sha256"] == masks_hash(masks)
            assert told["onnxprune.parent_sha256"] == finished.record["sha256"]["model"]


def test_without_repair_and_training_stages_give_the_original_without_the_channels(
    compressed: Callable[..., RunFolder], groups: Groups
) -> None:
    run = compressed(**UNREPAIRED)
    for folder, masks in zip(FOLDERS, masks_of(run, groups), strict=True):
        expected = prune(groups, masks)
        found = onnx.load(run.path / folder / "final.onnx")
        assert list(found.graph.initializer) == list(expected.graph.initializer)
        assert list(found.graph.node) == list(expected.graph.node)


def test_each_stage_sets_out_from_the_best_that_the_one_before_left(finished: RunFolder) -> None:
    for folder in ("stages/1", "stages/2"):
        choice = read_json(finished.path / folder / "choice.json")
        figures = {name: found["top1"] for name, found in choice["search"].items()}
        assert figures[choice["final"]] == max(figures.values())
    for box in ("search", "prune", "reconstruct", "distill"):
        reads = finished.box(box)["reads"]
        assert reads["stages/2/final.onnx"] == finished.hash_of("stages/2/final.onnx")
        assert reads["stages/1/final.onnx"] == finished.hash_of("stages/1/final.onnx")


def test_stages_are_trained_for_as_long_as_was_asked(finished: RunFolder) -> None:
    epochs = [len(read_json(finished.path / f / "distill.json")["history"]) for f in FOLDERS]
    assert epochs == [1, 1, 2]


def test_the_report_has_a_row_for_each_stage(finished: RunFolder) -> None:
    text = (finished.path / "report.md").read_text()
    rows = text.partition("## Stages")[2].partition("##")[0].splitlines()[4:7]
    assert [row.split(" | ")[0] for row in rows] == ["| 1", "| 2", "| 3"]
    for folder in ("stages/1", "stages/2"):
        assert f"| {folder}/distill | done |" in text
    assert "taught by the original" in text


def test_one_stage_is_the_run_without_the_option(
    compressed: Callable[..., RunFolder], model: Path, samples: Path, tmp_path: Path
) -> None:
    one = compressed(**{"stages.count": 1, "stages.stage_epochs": 0})
    plain = start(options(model, samples, target=STAGED["target"], distill__epochs=2), tmp_path / "plain", [])
    compress(plain)
    assert hashes(one.path) == hashes(plain.path)
    assert list(one.record["boxes"]) == list(plain.record["boxes"])
    assert not (one.path / "stages").exists()
    assert summary_of(one)["stages"] == []


@pytest.mark.parametrize(
    "how", [{}, {"search.agent": "random", "search.evaluations": 8}], ids=["chosen", "searched"]
)
def test_the_least_share_is_of_the_original(
    how: dict[str, Any], compressed: Callable[..., RunFolder], groups: Groups
) -> None:
    run = compressed(**UNTRAINED, **{"prune.min_keep": "50%", "target": ("macs=32%",)}, **how)
    *_, last = masks_of(run, groups)
    assert all(bits.sum() >= 0.5 * len(bits) for bits in last.values())
    assert any(bits.sum() == 0.5 * len(bits) for bits in last.values())


def test_what_is_left_alone_stays_whole_in_every_stage(
    compressed: Callable[..., RunFolder], groups: Groups
) -> None:
    run = compressed(**UNTRAINED, **{"prune.skip": ("a_w",), "target": ("macs=50%",)})
    assert onnx.load(run.path / "final.onnx").graph.initializer[0].dims == [12, 3, 3, 3]


def test_a_search_of_a_later_stage_is_of_what_the_one_before_left(
    compressed: Callable[..., RunFolder], groups: Groups
) -> None:
    run = compressed(
        **UNTRAINED,
        **{"search.agent": "random", "search.evaluations": 8, "search.batch": 4, "stages.count": 2},
        **{"search.calibration_rows": 16, "reconstruct.method": "bias"},
    )
    searched = read_json(run.path / "search" / "run.json")
    assert searched["options"]["model"].endswith("run/stages/1/final.onnx")
    limit = parse_target(["macs=35%"]).limits(CostModel(groups).count({}))["macs"]
    assert parse_target(searched["options"]["target"]).limits(Cost(1, 1, 1))["macs"] == limit
    found = read_json(run.path / "search" / "search.json")
    assert found["original"]["cost"] == summary_of(run)["stages"][0]["cost"]
    assert found["best"]["cost"] == summary_of(run)["stages"][1]["cost"]
    assert "what the stage before left" in (run.path / "report.md").read_text()


def test_a_stage_on_the_way_that_misses_its_bound_goes_on_and_the_last_does_not(
    compressed: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = searching.search

    def missing(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise TargetError("E702", "no candidate met what was asked")

    monkeypatch.setattr(searching, "search", missing)
    searched = {"search.agent": "random", "search.evaluations": 4, "search.batch": 4}
    with pytest.raises(TargetError, match="no candidate met"):
        compressed(**UNTRAINED, **searched)
    record = read_json(tmp_path / "run" / "run.json")
    assert record["boxes"]["stages/2/search"]["state"] == "done"
    assert record["boxes"]["search"]["state"] == "running"
    assert "E702: no candidate met what was asked; the next stage goes on from it" in record["warnings"]


@pytest.mark.parametrize("target", ["latency=40%", "latency=4ms"])
def test_a_bound_on_the_latency_is_come_down_to_in_stages(
    target: str, compressed: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path / "cache")
    run = compressed(**UNTRAINED, **{"target": (target,), "stages.count": 2, "reconstruct.method": "bias"})
    first, last = summary_of(run)["stages"]
    assert 0.4 < first["targets"][0]["share"] <= 0.4**0.5 + 1e-9
    assert last["targets"][0]["target"] == target
    assert last["targets"][0]["met"]
    assert last["targets"][0]["share"] <= 0.4


@pytest.mark.parametrize(
    "how", [{}, {"search.agent": "random", "search.evaluations": 4}], ids=["chosen", "searched"]
)
def test_a_later_stage_is_asked_for_the_rest_of_the_way_from_what_was_measured(
    how: dict[str, Any], compressed: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def share_of(groups: Groups) -> Callable[[Masks], float]:
        """In proportion to the MACs, so that shares of shares multiply as times do."""
        model = CostModel(groups)
        return lambda masks: model.count(masks).macs / model.count({}).macs

    stand_in(monkeypatch, tmp_path / "cache", share_of)
    asked = {"target": ("latency=40%",), "stages.count": 2, "reconstruct.method": "bias"}
    run = compressed(**UNTRAINED, **asked, **how)
    left = 40 / read_json(run.path / "stages/1/prune.json")["latency"]["ratio"]
    assert left > 41
    assert f"what stage 1 left, and latency={left:.7f}% of it asked" in (run.path / "log.txt").read_text()
    if how:
        assert f'target = ["latency={left:.7f}%"]' in (run.path / "search/config.toml").read_text()


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stages.count": 0}, "--stages 0: must be at least 1"),
        ({"stages.stage_epochs": -1}, "--stage-epochs -1: must be at least 0"),
        ({"stages.count": 1}, "--stage-epochs 1 are for all stages but the last"),
        ({"stages.count": 300}, r"--stages 300: the model can lose channels \d+ times at most"),
        ({"masks": "m.json", "stages.stage_epochs": 0}, "--masks are there already; --stages 3"),
        ({"distill.enabled": False}, "--stage-epochs 1 is for training, and --no-distill"),
        ({**UNTRAINED, "distill.teacher": "best"}, "--teacher best is for training, and --no-distill"),
        ({"distill.teacher": "latest"}, "--teacher"),
    ],
)
def test_what_makes_no_sense_is_refused_before_there_is_a_run(
    given: dict[str, Any], said: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(OnnxPruneError, match=said) as error:
        start(options(model, samples, **{**STAGED, **given}), tmp_path / "run", [])
    assert error.value.code == "E201"
    assert not (tmp_path / "run").exists()


def test_training_between_stages_needs_torch(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxprune.compression.training.importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeProblem, match="needs torch"):
        start(options(model, samples, **STAGED), tmp_path / "run", [])


def test_a_model_that_cannot_be_trained_comes_down_without(
    compressed: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise UnsupportedError("E406", "distill cannot run Resize (node /up)")

    monkeypatch.setattr("onnxprune.distillation.distill", refused)
    run = compressed()
    states = {name: box["state"] for name, box in run.record["boxes"].items() if name.endswith("distill")}
    assert states == dict.fromkeys(("stages/1/distill", "stages/2/distill", "distill"), "skipped")
    assert [stage["teacher"] for stage in summary_of(run)["stages"]] == [None] * 3
    assert any("Resize" in warning for warning in run.record["warnings"])


def test_without_labels_models_are_judged_by_the_original(model: Path, tmp_path: Path) -> None:
    bare = write_samples(tmp_path / "bare.npz")
    run = start(options(model, bare, **{**STAGED, **UNTRAINED}), tmp_path / "run", [])
    compress(run)
    assert summary_of(run)["metric"] == "agreement"
    figures = json.loads((run.path / "choice.json").read_text())["search"]
    assert summary_of(run)["stages"][-1]["search"] == max(found["agreement"] for found in figures.values())

"""A correct prune passes, and what cannot be proven is skipped with its reason."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from onnxprune.cost import count
from onnxprune.errors import VerificationError
from onnxprune.groups import find_groups
from onnxprune.masks import all_true
from onnxprune.onnx_file import load_graph
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.saving import save_model
from onnxprune.pipeline import write_pruned
from onnxprune.pruning import prune
from onnxprune.verification import VerifyOptions, require_ok, sessions, verify
from tests.law.build import model, save
from tests.verification.cases import (
    CNN,
    CNN_WEIGHTS,
    Case,
    change,
    cnn,
    quantised,
    random_masks,
    shuffle,
    statuses,
    tokens,
)

ALL_PASS = dict.fromkeys(("channels", "contract", "kept", "onnx", "cost", "runs", "masked"), "PASS")


@pytest.mark.parametrize("build", [cnn, shuffle, tokens, quantised])
def test_a_correct_prune_passes_every_check(build: type[Case], tmp_path: Path) -> None:
    report = build(tmp_path).verify()
    assert statuses(report) == ALL_PASS, report
    require_ok(report)


def test_a_written_file_passes_under_a_temporary_name(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    part = tmp_path / ".pruned.onnx.part"
    onnx.save(case.pruned, part)
    assert statuses(case.verify(part)) == ALL_PASS


def test_two_files_are_enough(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    onnx.save(case.pruned, tmp_path / "pruned.onnx")
    report = verify(case.groups.graph.path, tmp_path / "pruned.onnx")
    assert statuses(report) == ALL_PASS | {"cost": "SKIP"}
    assert report["cost"].detail == "no expected cost was given"


def test_masks_that_keep_everything_must_give_the_same_bits(tmp_path: Path) -> None:
    groups = cnn(tmp_path).groups
    masks = all_true(groups)
    whole = Case(groups, masks, prune(groups, masks))
    assert "equal bit for bit" in whole.verify()["masked"].detail
    nudged = change(whole.pruned, "fb2", lambda b: np.nextafter(b, b + 1))
    assert whole.verify(nudged)["masked"].status == "FAIL"


def test_a_free_batch_is_run_with_one_and_with_three(tmp_path: Path) -> None:
    assert cnn(tmp_path).verify()["runs"].figures["inputs"] == 2
    assert cnn(tmp_path, batch="2").verify()["runs"].figures["inputs"] == 1


def test_samples_come_before_random_inputs_and_at_most_as_many_as_asked(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    endless = iter(lambda: {"x": np.zeros((2, 3, 6, 6), np.float32)}, None)
    report = verify(
        case.groups.graph,
        case.pruned,
        masks=case.masks,
        groups=case.groups,
        samples=endless,
        options=VerifyOptions(inputs=4),
    )
    assert "over 6 inputs (4 samples and 2 random)" in report["masked"].detail


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    document = json.loads(json.dumps(cnn(tmp_path).verify().to_json()))
    assert document["ok"] is True
    assert document["checks"][-1]["figures"]["max_abs"] < 1e-4


def test_a_failed_check_is_error_e801(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    report = case.verify(change(case.pruned, "b1", lambda b: b[:-1]))
    assert not report.ok
    with pytest.raises(VerificationError, match="channels fit") as error:
        require_ok(report)
    assert (error.value.code, error.value.exit_code) == ("E801", 8)


# --- inexact groups -------------------------------------------------------------------------------


def test_channels_under_a_statistic_are_kept_whole_for_the_law_and_it_says_so(tmp_path: Path) -> None:
    detail = tokens(tmp_path).verify()["masked"].detail
    assert "a statistic runs over the channels of 1 of the pruned groups" in detail
    assert "proven with these kept whole" in detail


def test_without_a_way_to_prune_the_rest_alone_the_law_is_skipped(tmp_path: Path) -> None:
    check = tokens(tmp_path).verify(prune=None)["masked"]
    assert (check.status, "no `prune` was given" in check.detail) == ("SKIP", True)


def test_where_only_channels_under_a_statistic_went_nothing_is_proven(tmp_path: Path) -> None:
    groups = tokens(tmp_path).groups
    masks = random_masks(groups, np.random.default_rng(0), 0.5)
    masks = {name: bits for name, bits in masks.items() if groups[name].inexact}
    check = Case(groups, masks, prune(groups, masks)).verify()["masked"]
    assert (check.status, "nothing to compare with" in check.detail) == ("SKIP", True)


def test_where_no_channel_under_a_statistic_went_the_law_covers_everything(tmp_path: Path) -> None:
    check = tokens(tmp_path, exact=True).verify(prune=None)["masked"]
    assert (check.status, "statistic" in check.detail) == ("PASS", False)


# --- what cannot be run ----------------------------------------------------------------------------


def test_an_operator_that_the_runtime_does_not_know_leaves_the_structural_checks(tmp_path: Path) -> None:
    made = model("float[N,3,6,6] x => float[N,5] y", CNN, **CNN_WEIGHTS)
    next(n for n in made.graph.node if n.output[0] == "g").domain = "local"
    groups = find_groups(load_graph(save(made, tmp_path)))
    masks = random_masks(groups, np.random.default_rng(0), 0.6)
    case = Case(groups, masks, prune(groups, masks))
    report = case.verify()
    assert statuses(report) == ALL_PASS | {"runs": "SKIP", "masked": "SKIP"}
    assert "local" in report["runs"].detail
    assert "no rule for local::Relu" in report["channels"].detail
    spoilt = change(case.pruned, "w2", lambda w: w[:, :-1])
    assert case.verify(spoilt)["channels"].status == "FAIL"


def test_a_model_that_draws_random_numbers_proves_nothing_by_running(tmp_path: Path) -> None:
    body = "a = Conv(x, w1, b1)\n r = RandomNormalLike(a)\n s = Add(a, r)\n y = Conv(s, w2, b2)"
    made = model("float[1,3,4,4] x => float[1,2,4,4] y", body, w1=(4, 3, 1, 1), b1=4, w2=(2, 4, 1, 1), b2=2)
    groups = find_groups(load_graph(save(made, tmp_path)))
    report = Case(groups, all_true(groups), prune(groups, {})).verify()
    assert statuses(report)["masked"] == "SKIP"
    assert "two ways" in report["masked"].detail


def test_weights_that_were_trained_again_are_compared_by_extents_alone(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    trained = change(case.pruned, "w2", lambda w: w + np.float32(0.1))
    report = case.verify(trained, retrained=True)
    assert report.ok
    assert report["masked"].status == "SKIP"
    assert (
        case.verify(change(case.pruned, "w2", lambda w: w[..., :-1]), retrained=True)["kept"].status == "FAIL"
    )
    failed = {check.name.split()[0] for check in case.verify(trained).failed}
    assert failed == {"kept", "masked"}


# --- large models ------------------------------------------------------------------------------------


def external_cnn(folder: Path) -> Path:
    made = model("float[N,3,6,6] x => float[N,5] y", CNN, **CNN_WEIGHTS)
    path = folder / "external.onnx"
    onnx.save(made, path, save_as_external_data=True, location="external.data", size_threshold=64)
    return path


def test_external_data_is_verified_in_memory_and_as_written(tmp_path: Path) -> None:
    graph = load_graph(external_cnn(tmp_path))
    groups = find_groups(graph)
    masks = random_masks(groups, np.random.default_rng(0), 0.6)
    case = Case(groups, masks, prune(groups, masks))
    assert statuses(case.verify()) == ALL_PASS
    other = tmp_path / "elsewhere"
    other.mkdir()
    saved = save_model(
        case.pruned, other / "small.onnx", source=graph.path, external=external_locations(graph.model)
    )
    assert saved.data is not None
    assert statuses(case.verify(other / "small.onnx")) == ALL_PASS
    onnx.save(onnx.load(other / "small.onnx"), other / "inside.onnx")
    assert "inside the model now" in case.verify(other / "inside.onnx")["contract"].detail


def test_two_weights_files_stay_two(tmp_path: Path) -> None:
    made = model("float[N,3,6,6] x => float[N,5] y", CNN, **CNN_WEIGHTS)
    for number, weight in enumerate(t for t in made.graph.initializer if t.name != "target"):
        file, raw = tmp_path / f"shard{number % 2}.bin", numpy_helper.to_array(weight).tobytes()
        offset = file.stat().st_size if file.exists() else 0
        with file.open("ab") as shard:
            shard.write(raw)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", file.name), ("offset", offset), ("length", len(raw))):
            weight.external_data.add(key=key, value=str(value))
    groups = find_groups(load_graph(save(made, tmp_path)))
    masks = random_masks(groups, np.random.default_rng(0), 0.6)
    written = write_pruned(groups, masks, tmp_path / "small.onnx")
    assert statuses(written.report) == ALL_PASS
    assert sorted(p.name for p in (tmp_path / "small.onnx.data").iterdir()) == ["shard0.bin", "shard1.bin"]


def test_values_in_external_data_are_compared(tmp_path: Path) -> None:
    graph = load_graph(external_cnn(tmp_path))
    groups = find_groups(graph)
    case = Case(groups, all_true(groups), prune(groups, {}))
    folder = tmp_path / "copy"
    folder.mkdir()
    save_model(case.pruned, folder / "same.onnx", source=graph.path)
    assert case.verify(folder / "same.onnx").ok
    data = folder / "same.onnx.data"
    data.write_bytes(bytes(255 - b for b in data.read_bytes()[:4]) + data.read_bytes()[4:])
    assert case.verify(folder / "same.onnx")["kept"].status == "FAIL"


def test_large_weights_are_handed_to_the_runtime_apart_from_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "APART_BYTES", 64)
    case = cnn(tmp_path)
    lean = sessions.runnable(case.pruned, tmp_path)
    weights = {t.name: numpy_helper.to_array(t).nbytes for t in case.pruned.graph.initializer}
    expected = {name for name, nbytes in weights.items() if nbytes >= 64}
    assert lean.weights.keys() == expected
    assert expected
    assert statuses(case.verify()) == ALL_PASS


def test_the_cost_is_counted_from_the_file(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    whole = count(case.groups, {})
    check = case.verify(cost=whole)["cost"]
    assert check.status == "FAIL"
    assert [fault.split(":")[0] for fault in check.faults] == ["macs", "params", "bytes"]

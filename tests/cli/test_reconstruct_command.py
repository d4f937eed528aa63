"""`reconstruct` and `prune --reconstruct`: both ways to say what goes, the document, and what is refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.cli.conftest import Cli, contents
from tests.onnx_file.small_models import chain

TARGET = ("--target", "macs=60%", "--align", "1")


def weights(path: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.fixture
def pruned(cli: Cli, model: Path, tmp_path: Path) -> Path:
    """pruned.onnx, with masks.json beside it."""
    out = tmp_path / "pruned.onnx"
    assert cli("prune", model, "-o", out, *TARGET, "--save-masks", tmp_path / "masks.json").code == 0
    return out


def test_masks_and_the_pruned_model_lead_to_the_same_weights(
    cli: Cli, model: Path, pruned: Path, samples: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "by_masks.onnx", tmp_path / "by_model.onnx"
    masks = ("--masks", tmp_path / "masks.json")
    ran = cli("reconstruct", model, *masks, "--data", samples, "-o", first)
    assert ran.code == 0, ran.err
    assert "wrote" in ran.out
    assert "labels unused" in ran.err
    assert cli("reconstruct", model, pruned, "--data", samples, "-o", second).code == 0
    plain, one, two = weights(pruned), weights(first), weights(second)
    assert {n: w.shape for n, w in one.items()} == {n: w.shape for n, w in plain.items()}
    assert any(not np.array_equal(one[n], plain[n]) for n in plain)
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    assert cli("verify", model, first, *masks, "--retrained").code == 0
    assert cli("verify", model, first, *masks).code == 8  # values differ, and that is told


def test_pruning_and_repairing_at_once_gives_the_same(
    cli: Cli, model: Path, pruned: Path, samples: Path, tmp_path: Path
) -> None:
    at_once, after = tmp_path / "at_once.onnx", tmp_path / "after.onnx"
    ran = cli("prune", model, "-o", at_once, *TARGET, "--reconstruct", "--data", samples)
    assert ran.code == 0, ran.err
    assert "repaired or trained after pruning" in ran.out + ran.err
    assert cli("reconstruct", model, pruned, "--data", samples, "-o", after).code == 0
    assert {n: w.tobytes() for n, w in weights(at_once).items()} == {
        n: w.tobytes() for n, w in weights(after).items()
    }


@pytest.mark.parametrize("method", ["least-squares", "moments", "bias"])
def test_the_document_tells_of_each_node(
    method: str, cli: Cli, model: Path, pruned: Path, samples: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    ran = cli(
        "reconstruct", model, pruned, "--data", samples, "--method", method, "-o", tmp_path / "o.onnx",
        "--json", told,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = json.loads(told.read_text())["reconstruct"]
    assert found["method"] == method
    assert [set(node) for node in found["nodes"]] == [{"node", "op_type", "before", "after", "note"}] * len(
        found["nodes"]
    )
    fitted = [node for node in found["nodes"] if node["after"] is not None]
    assert fitted
    assert all(node["after"] <= node["before"] + 1e-6 for node in fitted)


def test_the_document_of_prune_tells_it_too(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    words = ("prune", model, *TARGET, "--data", samples, "--json")
    assert cli(*words, tmp_path / "a.json", "-o", tmp_path / "a.onnx", "--reconstruct").code == 0
    assert cli(*words, tmp_path / "b.json", "-o", tmp_path / "b.onnx").code == 0
    assert "reconstruct" in json.loads((tmp_path / "a.json").read_text())
    assert "reconstruct" not in json.loads((tmp_path / "b.json").read_text())


def saved(path: Path, rows: int, value: float = 0.0) -> Path:
    np.savez(path, x=np.full((rows, 3, 8, 8), value, np.float32))
    return path


def test_what_is_refused_leaves_nothing_behind(
    cli: Cli, model: Path, pruned: Path, samples: Path, tmp_path: Path
) -> None:
    taken, wider = tmp_path / "taken.onnx", tmp_path / "wider.onnx"
    taken.write_bytes(b"somebody's")
    onnx.save(chain(np.random.default_rng(9)), wider)
    empty, nan = saved(tmp_path / "empty.npz", 0), saved(tmp_path / "nan.npz", 4, np.nan)
    foreign = tmp_path / "foreign.json"
    document = json.loads((tmp_path / "masks.json").read_text())
    foreign.write_text(json.dumps(document).replace('"g', '"h'))
    before, out = contents(tmp_path), tmp_path / "out.onnx"
    refused = [
        ("E504", (model, pruned, "-o", out)),
        ("E202", (model, "--data", samples, "-o", out)),
        ("E203", (model, pruned, "--data", samples, "-o", taken)),
        ("E203", (model, pruned, "--data", samples, "-o", model, "--force")),
        ("E206", (model, "--masks", foreign, "--data", samples, "-o", out)),
        ("E206", (pruned, wider, "--data", samples, "-o", out)),
        ("E502", (model, pruned, "--data", nan, "-o", out)),
        ("E501", (model, pruned, "--data", empty, "-o", out)),
        ("E201", (model, pruned, "--data", samples, "-o", out, "--method", "magic")),
    ]
    for code, words in refused:
        ran = cli("reconstruct", *words)
        assert ran.error_code == code, (code, words, ran.err)
        assert contents(tmp_path) == before, words


def test_prune_asks_for_data_before_any_work(cli: Cli, model: Path, tmp_path: Path) -> None:
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", *TARGET, "--reconstruct")
    assert (ran.error_code, ran.code) == ("E504", 5)
    assert "--reconstruct" in ran.err


def test_force_replaces_and_provenance_can_be_left_out(
    cli: Cli, model: Path, pruned: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    words = ("reconstruct", model, pruned, "--data", samples, "-o", out)
    assert cli(*words).code == 0
    assert any(p.key.startswith("onnxprune.") for p in onnx.load(out).metadata_props)
    assert cli(*words, "--force", "--no-provenance").code == 0
    assert not any(p.key.startswith("onnxprune.") for p in onnx.load(out).metadata_props)


def test_a_repair_on_invented_inputs_is_doubted(
    cli: Cli, model: Path, pruned: Path, samples: Path, tmp_path: Path
) -> None:
    invented = cli("reconstruct", model, pruned, "--data", "random", "-o", tmp_path / "invented.onnx")
    assert invented.code == 0
    assert "W505" in invented.err
    assert (
        "W505" not in cli("reconstruct", model, pruned, "--data", samples, "-o", tmp_path / "real.onnx").err
    )

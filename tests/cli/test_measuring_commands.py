"""`bench`, `measure`, `compare`: what they print, and the gates."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.cli.gates import parse_gate
from tests.cli.conftest import Cli
from tests.onnx_file.small_models import normal, parsed, residual

SHORT = ("--duration", "0.1", "--warmup", "1")


@pytest.fixture
def pruned(cli: Cli, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "pruned.onnx"
    assert cli("prune", model, "-o", path, "--target", "macs=60%").code == 0
    return path


def test_bench_names_the_provider_and_the_control(cli: Cli, model: Path, pruned: Path) -> None:
    ran = cli("bench", model, pruned, *SHORT, "--provider", "cpu", "--per-node")
    assert ran.code == 0, ran.err
    for word in (
        "CPUExecutionProvider (requested cpu)",
        "100 % of MACs on it",
        "A/A control",
        "time of each node",
    ):
        assert word in ran.out


def test_bench_takes_the_batch_that_is_asked_for(cli: Cli, model: Path) -> None:
    document = json.loads(cli("bench", model, *SHORT, "--batch", "7", "--json").out)
    assert document["batch"] == 7


def test_a_model_that_fixes_its_batch_is_run_with_that(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "two_rows.onnx"
    onnx.save(residual(np.random.default_rng(0)), path)
    assert json.loads(cli("bench", path, *SHORT, "--json").out)["batch"] == 2
    ran = cli("bench", path, *SHORT, "--batch", "4")
    assert (ran.error_code, ran.code) == ("E503", 5)
    assert "use --batch 2" in ran.err


def test_measure_tells_accuracy_and_agreement(cli: Cli, model: Path, pruned: Path, samples: Path) -> None:
    words = ("--data", samples, "--reference", model)
    own = json.loads(cli("measure", model, *words, "--json").out)["metrics"]
    assert own["agreement"] == 1
    ran = cli("measure", pruned, *words, "--metric", "top1,agreement")
    assert "top1" in ran.out
    assert "agreement" in ran.out
    assert "kl" not in ran.out


def test_measure_needs_no_labels_for_agreement(cli: Cli, model: Path, pruned: Path, tmp_path: Path) -> None:
    path = tmp_path / "unlabelled.npy"
    np.save(path, np.random.default_rng(0).normal(size=(12, 3, 8, 8)).astype(np.float32))
    document = json.loads(cli("measure", pruned, "--data", path, "--reference", model, "--json").out)
    assert set(document["metrics"]) == {"agreement", "cosine", "kl"}


def test_compare_shows_both_and_their_ratio(cli: Cli, model: Path, pruned: Path, samples: Path) -> None:
    ran = cli("compare", model, pruned, "--data", samples, *SHORT)
    for figure in ("macs", "params", "latency_p50", "top1", "agreement"):
        assert figure in ran.out


def test_compare_writes_markdown(cli: Cli, model: Path, pruned: Path) -> None:
    lines = cli("compare", model, pruned, "--no-latency", "--markdown").out.splitlines()
    assert lines[0] == "| figure | chain.onnx | pruned.onnx | ratio |"
    assert lines[1] == "|---|---|---|---|"
    assert all(line.count("|") == 5 for line in lines)


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("macs<=0.6x", 0), ("macs<0.1x", 9), ("params<=1000000", 0), ("params>=1000000", 9),
        ("file_bytes<1x", 0), ("peak_activation_bytes <= 1x", 0), ("macs<=60%", 9),
    ],
)  # fmt: skip
def test_gates_decide_the_exit_code(gate: str, code: int, cli: Cli, model: Path, pruned: Path) -> None:
    ran = cli("compare", model, pruned, "--no-latency", "--gate", gate)
    assert ran.code == code
    assert f"gate {gate}: measured " in ran.out


def test_every_gate_is_told_and_one_that_fails_is_enough(cli: Cli, model: Path, pruned: Path) -> None:
    ran = cli("compare", model, pruned, "--no-latency", "--gate", "macs<=0.6x", "--gate", "params<0.01x")
    assert (ran.error_code, ran.code) == ("E901", 9)
    assert ran.out.count("gate ") == 2
    assert "macs" not in ran.err


def test_a_gate_on_accuracy_wants_data_before_any_work(cli: Cli, model: Path, tmp_path: Path) -> None:
    ran = cli("compare", model, tmp_path / "nope.onnx", "--gate", "top1>=0.9")
    assert (ran.error_code, ran.code) == ("E202", 2)


def test_gates_read_percent_and_multiples() -> None:
    assert (parse_gate("top1>=90%").bound, parse_gate("top1>=90%").relative) == (0.9, False)
    assert (parse_gate(" latency_p50 < 0.8x ").bound, parse_gate("latency_p50<.8x").relative) == (0.8, True)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("command", ["compress", "search"])
def test_labels_for_an_output_that_merges_rows_are_refused_before_there_is_a_run(
    cli: Cli, tmp_path: Path, command: str, labelled: bool
) -> None:
    rng = np.random.default_rng(0)
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        merging (float[N, 12] x) => (float[M, 3] y) {
            h = MatMul(x, w)
            r = Relu(h)
            s = MatMul(r, v)
            y = Reshape(s, target)
        }""",
        w=normal(rng, 12, 16),
        v=normal(rng, 16, 12),
        target=np.array([-1, 3], np.int64),
    )
    onnx.save(model, tmp_path / "m.onnx")
    labels = {"labels": rng.integers(0, 3, 64)} if labelled else {}
    np.savez(tmp_path / "x.npz", x=normal(rng, 64, 12), **labels)
    words = ("--data", tmp_path / "x.npz", "--target", "macs=50%", "--agent", "random", "--evaluations", "4")
    ran = cli(command, tmp_path / "m.onnx", "-o", tmp_path / "run", *words)
    if not labelled:  # it is compared with the original
        assert ran.code == 0
        return
    assert (ran.error_code, ran.code) == ("E503", 5)
    assert "m.onnx, output y has shape [4, 3] for 1 sample, want one row a sample" in ran.err
    assert "--metric package.module:function" in ran.err
    assert not (tmp_path / "run").exists()

"""`onnxprune prune` from file to file: every criterion and allocation, every way to state a target."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.allocation import ALLOCATIONS
from onnxprune.criteria import CRITERIA
from tests.cli.conftest import Cli
from tests.law.build import ints, save
from tests.law.build import model as build
from tests.law.test_attention import CORE, CORE_WEIGHTS, SEPARATE, SEPARATE_WEIGHTS, STREAM
from tests.onnx_file.small_models import attention, residual

PASSED = 7  # checks of a verification


def costs(ran_out: str) -> tuple[dict[str, int], dict[str, int]]:
    document = json.loads(ran_out)
    assert document["verification"]["ok"]
    assert [check["status"] for check in document["verification"]["checks"]] == ["PASS"] * PASSED
    return document["before"], document["after"]


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_with_every_allocation_meets_the_target(
    criterion: str, allocation: str, cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    ran = cli(
        *("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=60%", "--align", "1"),
        *("--criterion", criterion, "--allocation", allocation, "--data", samples, "--json"),
    )
    assert ran.code == 0, ran.err
    before, after = costs(ran.out)
    assert 0.3 * before["macs"] < after["macs"] <= 0.6 * before["macs"]


@pytest.mark.parametrize(
    ("targets", "bounds"),
    [
        (["params=50%"], {"params": 0.5}),
        (["macs=80%", "params=40%"], {"macs": 0.8, "params": 0.4}),
        (["macs=80%", "macs=60%"], {"macs": 0.6}),
        (["bytes=2KiB"], {"bytes": 2048}),
        (["params=0.4k", "macs=90%"], {"params": 400, "macs": 0.9}),
        (["MACS=70%"], {"macs": 0.7}),
    ],
)
def test_targets_relative_absolute_and_repeated_are_met(
    targets: list[str], bounds: dict[str, float], cli: Cli, model: Path, tmp_path: Path
) -> None:
    words = [word for target in targets for word in ("--target", target)]
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", *words, "--align", "1", "--json")
    assert ran.code == 0, ran.err
    before, after = costs(ran.out)
    for quantity, bound in bounds.items():
        limit = bound * before[quantity] if bound < 1 else bound
        assert after[quantity] <= limit
    assert any(after[q] > 0.7 * (b * before[q] if b < 1 else b) for q, b in bounds.items())


def test_a_target_out_of_reach_is_told_before_any_work(cli: Cli, model: Path, tmp_path: Path) -> None:
    """The data does not even exist: it would be opened next."""
    ran = cli(
        *("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=2%"),
        *("--criterion", "wanda", "--data", tmp_path / "nope.npz"),
    )
    assert (ran.error_code, ran.code) == ("E701", 7)
    assert "smallest reachable is" in ran.err


def test_what_is_stated_as_reachable_is_reached(cli: Cli, model: Path, tmp_path: Path) -> None:
    least = json.loads(cli("inspect", model, "--json").out)["reachable"]
    ran = cli(
        "prune", model, "-o", tmp_path / "out.onnx", "--target", f"macs={least['macs'] / 1e3}k", "--json"
    )
    assert ran.code == 0, ran.err
    assert costs(ran.out)[1]["macs"] == least["macs"]


def test_a_target_that_holds_already_keeps_everything(cli: Cli, model: Path, tmp_path: Path) -> None:
    before, after = costs(
        cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=100%", "--json").out
    )
    assert before == after


def test_counts_are_aligned_unless_asked_otherwise(cli: Cli, model: Path, tmp_path: Path) -> None:
    def odd(align: str) -> list[int]:
        """Counts that are cut and no multiple of 4."""
        words = ("--align", align, "--force", "--json")
        ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=80%", *words)
        masks = json.loads(ran.out)["masks"]
        counts = ((len(kept), masks["channels"][name]) for name, kept in masks["kept"].items())
        return [count for count, whole in counts if count < whole and count % 4]

    assert odd("4") == []
    assert odd("1") != []


def test_skip_and_only_leave_groups_alone(cli: Cli, model: Path, tmp_path: Path) -> None:
    def widths(*more: object) -> list[int]:
        words = ("--target", "macs=80%", "--align", "1", "--force", *more)
        ran = cli("prune", model, "-o", tmp_path / "out.onnx", *words)
        assert ran.code == 0, ran.err
        made = onnx.load(tmp_path / "out.onnx")
        return [
            next(t.dims[0] for t in made.graph.initializer if t.name == name)
            for name in ("conv_w", "conv2_w")
        ]

    assert widths("--skip", "conv_w")[0] == 8
    assert widths("--only", "conv2_w")[0] == 8
    assert widths("--only", "conv_w", "--only", "conv2_w") != [8, 6]


def test_heads_go_whole_where_asked(cli: Cli, tmp_path: Path) -> None:
    made = build(STREAM, SEPARATE + CORE, grid=ints(0, 0, -1, 3), **SEPARATE_WEIGHTS, **CORE_WEIGHTS)
    path, out, masks = save(made, tmp_path), tmp_path / "out.onnx", tmp_path / "masks.npz"
    ran = cli(
        *("prune", path, "-o", out, "--target", "params=60%", "--heads", "--align", "1"),
        *("--save-masks", masks, "--json"),
    )
    assert ran.code == 0, ran.err
    costs(ran.out)
    assert [t.dims[1] for t in onnx.load(out).graph.initializer if t.name in ("wq", "wk", "wv")] == [3, 3, 3]
    assert cli("verify", path, out, "--masks", masks, "--heads").code == 0
    assert cli("verify", path, out).code == 0


def test_networks_with_joined_branches_and_attention_are_pruned(cli: Cli, tmp_path: Path) -> None:
    for network in (residual, attention):
        path = tmp_path / f"{network.__name__}.onnx"
        onnx.save(network(np.random.default_rng(0)), path)
        ran = cli("prune", path, "-o", tmp_path / "out.onnx", "--target", "params=70%", "--force", "--json")
        assert ran.code == 0, ran.err
        before, after = costs(ran.out)
        assert after["params"] <= 0.7 * before["params"]


def test_samples_are_what_the_proof_runs_on(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=60%", "--data", samples)
    assert "8 samples and 2 random" in ran.out

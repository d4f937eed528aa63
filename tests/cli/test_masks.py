"""Masks: saved, reviewed, applied again, and never to another model."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Cli, contents
from tests.onnx_file.small_models import chain

TARGET = ("--target", "macs=60%", "--align", "1")


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_masks_that_were_saved_give_the_same_model(
    ending: str, cli: Cli, model: Path, tmp_path: Path
) -> None:
    masks = tmp_path / f"masks.{ending}"
    assert cli("prune", model, "-o", tmp_path / "a.onnx", *TARGET, "--save-masks", masks).code == 0
    ran = cli("prune", model, "-o", tmp_path / "b.onnx", "--masks", masks)
    assert ran.code == 0, ran.err
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert cli("verify", model, tmp_path / "b.onnx", "--masks", masks).code == 0


def test_masks_in_json_can_be_reviewed_and_edited(cli: Cli, model: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.json"
    cli("prune", model, "-o", tmp_path / "a.onnx", *TARGET, "--save-masks", masks)
    saved = json.loads(masks.read_text())
    name = max(saved["channels"], key=lambda each: saved["channels"][each])
    saved["kept"][name] = [0, 3]
    masks.write_text(json.dumps(saved))
    ran = cli("prune", model, "-o", tmp_path / "b.onnx", "--masks", masks, "--json")
    assert json.loads(ran.out)["masks"]["kept"][name] == [0, 3]


def test_masks_of_another_model_are_refused(cli: Cli, model: Path, tmp_path: Path) -> None:
    masks, other = tmp_path / "masks.json", tmp_path / "other.onnx"
    cli("prune", model, "-o", tmp_path / "a.onnx", *TARGET, "--save-masks", masks)
    onnx.save(chain(np.random.default_rng(5)), other)
    before = contents(tmp_path)
    for words in (["prune", other, "-o", tmp_path / "b.onnx"], ["verify", other, tmp_path / "a.onnx"]):
        ran = cli(*words, "--masks", masks)
        assert (ran.error_code, ran.code) == ("E206", 2)
        assert "made for another model" in ran.err
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved["kept"].update(g99=[0]) or saved["channels"].update(g99=4),
        lambda saved: saved["kept"].update({next(iter(saved["kept"])): []}),
        lambda saved: saved["kept"].update({next(iter(saved["kept"])): [99]}),
        lambda saved: saved["kept"].update({next(iter(saved["kept"])): [-1]}),
        lambda saved: saved["kept"].update({next(iter(saved["kept"])): ["a"]}),
        lambda saved: saved["kept"].update({next(iter(saved["kept"])): [0.5]}),
        lambda saved: saved["kept"].update({next(iter(saved["kept"])): 3}),
        lambda saved: saved["channels"].update({next(iter(saved["kept"])): 10**12}),
        lambda saved: saved["channels"].update({next(iter(saved["kept"])): -1}),
        lambda saved: saved.pop("sha256"),
        lambda saved: saved.update(kept=[1]),
    ],
)
def test_damaged_masks_are_refused(damage: object, cli: Cli, model: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.json"
    cli("prune", model, "-o", tmp_path / "a.onnx", *TARGET, "--save-masks", masks)
    saved = json.loads(masks.read_text())
    damage(saved)  # type: ignore[operator]
    masks.write_text(json.dumps(saved))
    ran = cli("prune", model, "-o", tmp_path / "b.onnx", "--masks", masks)
    assert (ran.error_code, ran.code) == ("E206", 2), ran.err
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("name", ["search.json", "list.json", "data.npz"])
def test_a_file_that_holds_something_else_is_told_as_no_masks(
    name: str, cli: Cli, model: Path, tmp_path: Path
) -> None:
    other = tmp_path / name
    if name == "data.npz":
        np.savez(other, x=np.zeros(3))
    else:
        other.write_text("[1]" if name == "list.json" else '{"masks": {"sha256": "0"}}')
    ran = cli("prune", model, "-o", tmp_path / "b.onnx", "--masks", other)
    assert (ran.error_code, ran.code) == ("E206", 2)
    assert f"{name} holds no masks" in ran.err
    assert "masks.json or masks.npz of a search" in ran.err
    assert "__sha256__" not in ran.err
    assert "cause" not in ran.err


def test_masks_that_are_missing_are_told(cli: Cli, model: Path, tmp_path: Path) -> None:
    ran = cli("prune", model, "-o", tmp_path / "b.onnx", "--masks", tmp_path / "nope.json")
    assert (ran.error_code, ran.code) == ("E206", 2)


def test_masks_that_miss_the_target_are_told(cli: Cli, model: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.json"
    cli("prune", model, "-o", tmp_path / "a.onnx", *TARGET, "--save-masks", masks)
    ran = cli("prune", model, "-o", tmp_path / "b.onnx", "--masks", masks, "--target", "macs=20%")
    assert (ran.error_code, ran.code) == ("E702", 7)
    assert not (tmp_path / "b.onnx").exists()

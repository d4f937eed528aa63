"""Damaged models: a clear error or a correct result, never a traceback, never a changed input."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from onnxprune.verification import verify
from tests.cli.conftest import Cli
from tests.onnx_file.damage import damaged_copies
from tests.onnx_file.small_models import BUILDERS, nested

COPIES = 60  # of each model
FAULTS = {3, 4, 7}  # a damaged model, nothing to prune in what is left, a target out of reach


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_inspect_and_prune_survive_any_damage(build: object, cli: Cli, tmp_path: Path) -> None:
    original = build(np.random.default_rng(0)).SerializeToString()  # type: ignore[operator]
    codes: Counter[int] = Counter()
    for name, content in damaged_copies(original, COPIES, seed=11):
        folder = tmp_path / name
        folder.mkdir()
        path, out = folder / "model.onnx", folder / "out.onnx"
        path.write_bytes(content)
        seen = cli("inspect", path)
        assert seen.code in {0, 3}, f"{name}: {seen.err}"
        ran = cli("prune", path, "-o", out, "--target", "params=80%", "--align", "1", "-q")
        codes[ran.code] += 1
        assert ran.code in {0, *FAULTS}, f"{name}: {ran.err}"
        assert bool(ran.error_code) == bool(ran.code), f"{name}: {ran.err}"
        assert path.read_bytes() == content, name
        if ran.code == 0:
            assert verify(path, out).ok, name
        assert {file.name for file in folder.iterdir()} <= {"model.onnx", *(["out.onnx"] * (not ran.code))}
        shutil.rmtree(folder)
    assert codes[3] >= COPIES // 4
    assert codes[4 if build is nested else 0] >= COPIES // 10  # nothing of the nested one can be pruned


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_verify_tells_damaged_copies_from_whole_ones(build: object, cli: Cli, tmp_path: Path) -> None:
    content = build(np.random.default_rng(0)).SerializeToString()  # type: ignore[operator]
    original, copy = tmp_path / "original.onnx", tmp_path / "copy.onnx"
    original.write_bytes(content)
    codes: Counter[int] = Counter()
    for name, damaged in damaged_copies(content, COPIES // 2, seed=12):
        copy.write_bytes(damaged)
        ran = cli("verify", original, copy, "-q")
        codes[ran.code] += 1
        assert ran.code in {0, 3, 8}, f"{name}: {ran.err}"
        assert original.read_bytes() == content
        assert copy.read_bytes() == damaged
    assert codes[8]

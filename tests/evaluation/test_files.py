"""Sums and rows come back from disk as they were, and from damaged files not at all."""

from dataclasses import replace

import numpy as np
import pytest

from onnxprune.data import Batch
from onnxprune.errors import DataError, UsageError
from onnxprune.evaluation import GramOptions, gram_file, load_grams, load_rewards, reward_file
from onnxprune.evaluation.files import mapped, write_arrays
from tests.evaluation.conftest import Setting


def test_arrays_are_mapped_as_they_were(tmp_path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "a/b": rng.random((3, 4)), "order": np.asfortranarray(rng.random((5, 2))), "whole": np.arange(7),
        "none": np.zeros((0, 3)), "one": np.float32(2.5), "text": np.array(["x", "yz"]),
    }  # fmt: skip
    write_arrays(tmp_path / "a.npz", arrays)
    found = mapped(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.asarray(array).dtype
    assert isinstance(found["a/b"], np.memmap)


def test_sums_are_gathered_once_for_a_model_and_its_inputs(setting: Setting, tmp_path) -> None:
    path = gram_file(setting.groups, [setting.calibration], tmp_path)
    written = path.stat().st_mtime_ns
    halves = [{"x": setting.calibration["x"][:30]}, {"x": setting.calibration["x"][30:]}]
    assert gram_file(setting.groups, halves, tmp_path) == path
    assert path.stat().st_mtime_ns == written
    for node, sums in load_grams(path).items():
        np.testing.assert_array_equal(sums.mean, setting.grams[node].mean)
        np.testing.assert_array_equal(sums.square, setting.grams[node].square)
    other = {"x": setting.calibration["x"] + 1}
    assert gram_file(setting.groups, [other], tmp_path) != path
    options = GramOptions(rows=100)
    assert gram_file(setting.groups, [setting.calibration], tmp_path, options=options) != path


def test_a_damaged_file_is_gathered_anew(setting: Setting, tmp_path) -> None:
    path = gram_file(setting.groups, [setting.calibration], tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"PK" + whole[2:-200]):
        path.write_bytes(damaged)
        assert gram_file(setting.groups, [setting.calibration], tmp_path) == path
        assert path.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_reward_rows_come_back(setting: Setting, tmp_path) -> None:
    batches = [*setting.batches, Batch({"x": setting.batches[0].inputs["x"][:3]})]
    found = load_rewards(reward_file(batches, tmp_path))
    assert len(found) == len(batches)
    for ours, theirs in zip(batches, found, strict=True):
        np.testing.assert_array_equal(ours.inputs["x"], theirs.inputs["x"])
        if ours.labels is None:
            assert theirs.labels is None
        else:
            np.testing.assert_array_equal(ours.labels, theirs.labels)
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        load_rewards(tmp_path / "no.npz")
    assert caught.value.code == "E501"


def test_a_spec_gives_the_same_evaluator(setting: Setting) -> None:
    (masks,) = setting.masks(1)
    spec = setting.spec()
    assert spec.build().evaluate(masks).accuracy == setting.evaluator().evaluate(masks).accuracy
    with pytest.raises(UsageError) as caught:
        replace(spec, sha256="0" * 64).build()
    assert caught.value.code == "E208"
    with pytest.raises(UsageError) as caught:
        replace(spec, grams=spec.grams + ".gone").build()
    assert caught.value.code == "E208"

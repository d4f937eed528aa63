"""The trained network in the package is the one that its card describes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from onnxprune.data.cifar import MEAN, STD, as_input
from onnxprune.data.cifar_sample import SAMPLE, read_sample
from onnxprune.errors import UsageError
from onnxprune.models.inference import onnx_top1, run_onnx
from onnxprune.models.publish import read_run

FOLDER = SAMPLE.parent
FORMS = ["folded", "kept"]


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return json.loads((FOLDER / "resnet20_cifar10.json").read_text())


def path_of(card: dict[str, Any], form: str) -> Path:
    return FOLDER / card["batch_normalization"][form]["file"]


@pytest.mark.parametrize("form", FORMS)
def test_the_card_names_these_very_bytes(card, form: str) -> None:
    content = path_of(card, form).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card["batch_normalization"][form]["sha256"]


@pytest.mark.parametrize("form", FORMS)
def test_the_network_is_right_on_at_least_91_percent_of_the_test_images(card, form: str) -> None:
    assert card["batch_normalization"][form]["test_top1"] >= 0.91


@pytest.mark.parametrize("form", FORMS)
def test_the_file_is_as_good_on_the_search_images_as_the_card_says(card, form: str) -> None:
    sample = read_sample()
    top1 = onnx_top1(path_of(card, form), as_input(sample.search_images), sample.search_labels)
    assert top1 == pytest.approx(card["batch_normalization"][form]["search_top1"], abs=0.001)


@pytest.mark.parametrize("form", FORMS)
def test_the_sampled_test_images_are_neither_easier_nor_harder_than_all(card, form: str) -> None:
    sample = read_sample()
    top1 = onnx_top1(path_of(card, form), as_input(sample.test_images), sample.test_labels)
    three_sigma = 3 * (0.91 * 0.09 / len(sample.test_labels)) ** 0.5
    assert top1 == pytest.approx(card["batch_normalization"][form]["test_top1"], abs=three_sigma)


def test_both_files_give_the_same_logits(card) -> None:
    images = as_input(read_sample().test_images[:100])
    one, two = (run_onnx(path_of(card, form), images) for form in FORMS)
    assert np.abs(one - two).max() < 1e-4 * np.abs(one).max()


def test_batch_normalization_is_in_the_file_that_the_card_says(card) -> None:
    for form, expected in (("folded", 0), ("kept", 19)):
        nodes = onnx.load(path_of(card, form)).graph.node
        assert sum(node.op_type == "BatchNormalization" for node in nodes) == expected


def test_the_card_normalises_as_the_code_does(card) -> None:
    assert np.array_equal(np.array(card["input"]["mean"], np.float32), MEAN)
    assert np.array_equal(np.array(card["input"]["std"], np.float32), STD)


def test_an_unfinished_training_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"card\.json does not exist"):
        read_run(tmp_path)

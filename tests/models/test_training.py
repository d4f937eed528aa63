"""The training recipe: schedule, augmentation, and a training that survives interruptions."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from onnxprune.data.cifar import Cifar10
from onnxprune.errors import UsageError
from onnxprune.models import train as training
from onnxprune.models.batches import PAD, Part, augment, batches
from onnxprune.models.recipe import Recipe, learning_rate, make_optimizer
from onnxprune.models.train import main, train_and_test
from onnxprune.models.trainer import Row, Setup
from onnxprune.models.zoo import NETWORKS, load_network

PLAIN = Setup(torch.device("cpu"), compiled=False)


class Interruption(Exception):
    """Stands for Ctrl-C."""


def interrupt(row: Row) -> None:
    raise Interruption(row)


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """One convolution: the laws of the loop do not depend on the network."""

    def tiny() -> nn.Module:
        convolution = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()]
        return nn.Sequential(*convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    monkeypatch.setitem(NETWORKS, "tiny", tiny)


def ignore(row: Row) -> None:
    del row


def noise(images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 256, (images, 32, 32, 3), np.uint8), np.arange(images) % 10


@pytest.fixture(scope="module")
def data() -> Cifar10:
    """The 2,000 search images and 128 more: one batch an epoch."""
    rng = np.random.default_rng(0)
    return Cifar10(*noise(2130, rng), *noise(40, rng))


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    recipe = Recipe("resnet20", epochs=10, lr=0.5, warmup_epochs=2)
    rates = [learning_rate(recipe, step, 5) for step in range(50)]
    peak = rates.index(0.5)
    assert peak == 2 * 5 - 1
    assert all(before < after for before, after in pairwise(rates[: peak + 1]))
    assert all(before >= after for before, after in pairwise(rates[peak:]))
    assert rates[-1] < 0.01


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3, 1.5])
def test_no_warm_up_leads_above_the_peak(warmup: float) -> None:
    recipe = Recipe("resnet20", epochs=3, lr=0.5, warmup_epochs=warmup)
    assert max(learning_rate(recipe, step, 5) for step in range(15)) <= 0.5


def test_weight_decay_spares_biases_and_batch_normalization() -> None:
    model = NETWORKS["resnet20"]()
    decayed, spared = make_optimizer(model, Recipe("resnet20")).param_groups
    assert decayed["weight_decay"] == Recipe.weight_decay
    assert spared["weight_decay"] == 0
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}
    assert {parameter.ndim for parameter in spared["params"]} == {1}


def test_an_augmented_image_is_a_crop_of_the_padded_image_or_of_its_mirror_image() -> None:
    images = torch.rand(40, 2, 6, 6) + 1
    augmented = augment(images, np.random.default_rng(0))
    seen = set()
    for image, result in zip(images, augmented, strict=True):
        padded = torch.nn.functional.pad(image, (PAD, PAD, PAD, PAD))
        fits = [
            (top, left, mirrored)
            for top in range(2 * PAD + 1)
            for left in range(2 * PAD + 1)
            for mirrored in (False, True)
            if torch.equal(
                (padded.flip(2) if mirrored else padded)[:, top : top + 6, left : left + 6], result
            )
        ]
        assert fits
        seen.add(fits[0])
    assert len(seen) > 20
    assert {mirrored for _, _, mirrored in seen} == {False, True}


def test_an_epoch_shows_each_image_once_in_an_order_of_its_own() -> None:
    part = Part(torch.zeros(30, 1, 4, 4), torch.arange(30))

    def order(epoch: int) -> list[int]:
        return [int(label) for batch in batches(part, 10, seed=0, epoch=epoch) for label in batch.labels]

    assert sorted(order(0)) == list(range(30))
    assert order(0) == order(0)
    assert order(0) != order(1)


def test_an_interrupted_training_goes_on_to_the_same_weights(data, tmp_path) -> None:
    recipe = Recipe("tiny", epochs=2, warmup_epochs=0.5, bf16=False)
    whole = train_and_test(recipe, data, tmp_path / "whole", setup=PLAIN, report=ignore)
    with pytest.raises(Interruption):
        train_and_test(recipe, data, tmp_path / "parts", setup=PLAIN, report=interrupt)
    assert not (tmp_path / "parts" / "weights.pt").exists()
    rows: list[Row] = []
    resumed = train_and_test(recipe, data, tmp_path / "parts", setup=PLAIN, report=rows.append)
    assert [row["epoch"] for row in rows] == [2]
    assert resumed == whole
    expected = load_network("tiny", tmp_path / "whole" / "weights.pt").state_dict()
    got = load_network("tiny", tmp_path / "parts" / "weights.pt").state_dict()
    assert all(torch.equal(got[name], value) for name, value in expected.items())


def test_a_run_of_another_recipe_is_not_continued(data, tmp_path) -> None:
    recipe = Recipe("tiny", epochs=1, bf16=False)
    train_and_test(recipe, data, tmp_path, setup=PLAIN, report=ignore)
    with pytest.raises(UsageError, match="another recipe"):
        train_and_test(Recipe("tiny", epochs=1, seed=1), data, tmp_path, setup=PLAIN, report=ignore)


@pytest.mark.parametrize(
    ("given", "in_hardware"),
    [(["--bf16"], False), pytest.param([], True, marks=pytest.mark.slow), ([], False)],
)
def test_the_command_trains_in_bfloat16_and_writes_its_card(
    given: list[str], in_hardware: bool, data, tmp_path, monkeypatch
) -> None:
    """Where it is asked for, else where it is in hardware."""
    monkeypatch.setattr(training, "has_bfloat16", lambda _device: in_hardware)
    np.savez(
        tmp_path / "data.npz",
        x_train=data.x_train,
        y_train=data.y_train,
        x_test=data.x_test,
        y_test=data.y_test,
    )
    arguments = ["resnet20", "--data", str(tmp_path / "data.npz"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*arguments, *given, "--epochs", "1", "--no-compile"])
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["recipe"]["bf16"] is (bool(given) or in_hardware)
    assert 0 <= card["test_top1"] <= 1
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1


def test_the_command_names_a_missing_data_set_and_leaves_with_its_exit_code(tmp_path) -> None:
    arguments = ["resnet20", "--data", str(tmp_path / "no.npz"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 5
    assert "no.npz" in result.output
    assert "Traceback" not in result.output


@pytest.mark.gpu
def test_a_training_runs_on_the_gpu(data, tmp_path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch without CUDA")
    recipe = Recipe("resnet20", epochs=1)
    setup = Setup(torch.device("cuda"), compiled=False)
    assert train_and_test(recipe, data, tmp_path, setup=setup, report=ignore)["device"] == "cuda"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of torch's own parts
def test_a_compiled_training_learns_as_the_plain_one_does(data, tmp_path) -> None:
    recipe = Recipe("tiny", epochs=2, bf16=False)
    rows: dict[bool, list[Row]] = {True: [], False: []}
    for compiled, seen in rows.items():
        setup = Setup(torch.device("cpu"), compiled=compiled)
        train_and_test(recipe, data, tmp_path / str(compiled), setup=setup, report=seen.append)
    assert rows[True][-1]["loss"] == pytest.approx(rows[False][-1]["loss"], abs=1e-3)

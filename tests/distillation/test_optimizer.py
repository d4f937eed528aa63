"""The learning rate's course, what decays, the moving average, and what options are refused."""

import inspect
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from onnxprune.cli.distill_command import command
from onnxprune.cli.distill_options import FIELDS
from onnxprune.distillation.optimizer import Average, learning_rate, make_optimizer
from onnxprune.distillation.options import DistillOptions, check_options
from onnxprune.errors import UsageError


def test_the_learning_rate_rises_and_falls_along_a_cosine() -> None:
    options = DistillOptions(lr=0.4, epochs=11, warmup_epochs=1)
    rates = [learning_rate(options, step, 10) for step in range(110)]
    assert rates[0] == pytest.approx(0.04)
    assert rates[9] == rates[10] == pytest.approx(0.4)
    assert rates[60] == pytest.approx(0.2)
    assert 0 < rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3, 1.5])
def test_no_warm_up_leads_above_the_peak(warmup: float) -> None:
    options = DistillOptions(lr=0.5, epochs=3, warmup_epochs=warmup)
    assert max(learning_rate(options, step, 5) for step in range(15)) <= 0.5


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weights_decay_and_biases_do_not(optimizer: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    groups = make_optimizer(module, replace(DistillOptions(), optimizer=optimizer)).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [
        (5e-4, [4]),
        (0.0, [1, 1, 1]),
    ]


def test_the_average_follows_the_weights_by_its_formula() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.register_buffer("count", torch.tensor(0))
    average, expected = Average.of(module, 0.9), module.weight.item()
    for update in range(1, 30):
        with torch.no_grad():
            module.weight.fill_(float(update))
            module.count += 1
        average.update(module)
        keep = min(0.9, (1 + update) / (10 + update))
        expected = keep * expected + (1 - keep) * update
    assert float(average.values["weight"]) == pytest.approx(expected, rel=1e-5)
    assert int(average.values["count"]) == 29


def test_the_commands_defaults_are_those_of_the_options() -> None:
    defaults = {p.name: p.default for p in command.params if p.name in FIELDS}
    options = asdict(DistillOptions())
    assert tuple(inspect.signature(DistillOptions).parameters) == FIELDS
    for name in FIELDS:
        given = defaults[name] if isinstance(defaults[name], int | float | str | tuple) else None
        assert given == options[name] or (given is None and not options[name]), name


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"alpha": 1.5}, r"--alpha 1.5: must be in \[0, 1\]"),
        ({"epochs": 0}, "--epochs 0"),
        ({"loss": "hinge"}, "--loss 'hinge': there are auto, kl, mse, cosine"),
        ({"augment": ("flip", "blur")}, "--augment 'blur'"),
        ({"lr": float("nan")}, "--lr nan"),
    ],
)
def test_values_out_of_range_are_refused(changed: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_options(replace(DistillOptions(), **changed))

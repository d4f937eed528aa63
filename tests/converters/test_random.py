"""Dropout and random numbers: what can be said of them."""

import torch

from onnxprune.converters.functions import random
from tests.converters.differentiation import differentiates, numbers

X = numbers(40, 50)


def test_dropout_scales_what_it_keeps():
    output, mask = random.dropout(X, 0.25, True, _outputs=2)
    torch.testing.assert_close(output, torch.where(mask, X / 0.75, 0))
    assert abs(mask.double().mean() - 0.75) < 0.05


def test_a_seed_drops_the_same_in_each_run():
    first, second = (random.dropout(X, 0.5, True, seed=3, _outputs=1)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert differentiates(random.dropout, [numbers(3, 4), 0.5, True], seed=3, _outputs=2)


def test_before_opset_12_the_module_decides():
    assert torch.equal(random.dropout_by_module(X, _training=False, _outputs=1), X)
    assert not torch.equal(random.dropout_by_module(X, _training=True, _outputs=1), X)
    kept, mask = random.dropout_is_test(X, is_test=1, _training=True, _outputs=2)
    assert torch.equal(kept, X)
    assert mask.dtype == X.dtype


def test_numbers_have_the_moments_asked_for():
    cpu = torch.device("cpu")
    normal = random.random_normal(shape=[9000], mean=2.0, scale=0.5, seed=1.0, _device=cpu)
    assert abs(normal.mean() - 2) < 0.05
    assert abs(normal.std() - 0.5) < 0.05
    uniform = random.random_uniform_like(X, low=-1.0, high=3.0, seed=1.0)
    assert uniform.dtype == X.dtype
    assert -1 <= uniform.min() < uniform.max() <= 3
    assert abs(uniform.mean() - 1) < 0.2
    drawn = random.multinomial(torch.log(torch.tensor([[0.2, 0.8]])), sample_size=9000, seed=1.0)
    assert drawn.dtype == torch.int32
    assert abs(drawn.double().mean() - 0.8) < 0.05
    assert abs(random.bernoulli(torch.full((9000,), 0.3), seed=1.0).mean() - 0.3) < 0.05

"""Convolutions under autocast on the CPU: depthwise ones in float32 where bfloat16 has no fast gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.convolution import conv, slow_in_bfloat16

CASES = [  # stride, dilation, kernel, group, outputs, whether in float32
    (2, 1, 3, 16, 16, True),
    (2, 1, 3, 16, 32, True),
    (1, 2, 3, 16, 16, True),
    (1, 1, 5, 16, 16, True),
    (1, 1, 3, 16, 16, False),
    (2, 1, 3, 1, 16, False),
    (2, 1, 3, 4, 16, False),
]


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("stride", "dilation", "kernel", "group", "outputs", "exact"), CASES)
def test_slow_gradients_are_taken_in_float32_and_no_others(
    stride: int, dilation: int, kernel: int, group: int, outputs: int, exact: bool, biased: bool
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(4, 16, 12, 12), torch.randn(outputs, 16 // group, kernel, kernel)
    weight.requires_grad_()
    bias, pad = torch.randn(outputs) if biased else None, dilation * (kernel // 2)
    wanted = F.conv2d(x, weight, bias, stride, pad, dilation, group)

    def run() -> Tensor:
        strides, dilations, pads = [stride] * 2, [dilation] * 2, [pad] * 4
        with torch.autocast("cpu", torch.bfloat16):
            return conv(x, weight, bias, group=group, strides=strides, dilations=dilations, pads=pads)

    found = run()
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted.bfloat16()) == exact
    assert float((found - wanted).detach().norm() / wanted.detach().norm()) < 0.01
    gradient, own = (torch.autograd.grad(y.float().square().sum(), weight)[0] for y in (wanted, found))
    assert float((own - gradient).norm() / gradient.norm()) < 0.01
    with torch.no_grad():  # nothing is learnt: bfloat16 is faster
        assert not torch.equal(run(), wanted.bfloat16())


@pytest.mark.parametrize(
    ("x", "autocast"),
    [(torch.float64, torch.bfloat16), (torch.float32, torch.float16), (torch.float32, None)],
)
def test_other_types_are_left_alone(x: torch.dtype, autocast: torch.dtype | None) -> None:
    weight = torch.randn(16, 1, 3, 3, requires_grad=True)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        assert not slow_in_bfloat16(torch.randn(1, 16, 8, 8, dtype=x), weight, [2, 2], [1, 1], 16)

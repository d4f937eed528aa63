"""Convolutions under autocast on the CPU: depthwise ones in float32 where bfloat16 is slow."""

import pytest
import torch
from torch.nn import functional as F

from onnxprune.converters.functions.convolution import conv
from onnxprune.models.mobilenet import StridedDepthwise


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("stride", "kernel", "group"), [(2, 3, 16), (1, 5, 16), (1, 3, 16), (2, 3, 1)])
def test_what_autocast_gives_is_near_float32_whatever_the_kernel(
    stride: int, kernel: int, group: int, biased: bool
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(4, 16, 12, 12), torch.randn(16, 16 // group, kernel, kernel, requires_grad=True)
    bias = torch.randn(16) if biased else None
    exact = F.conv2d(x, weight, bias, stride, kernel // 2, 1, group)
    gradient = torch.autograd.grad(exact.square().sum(), weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(x, weight, bias, group=group, strides=[stride] * 2, pads=[kernel // 2] * 4)
    assert found.dtype == torch.bfloat16
    assert float((found - exact).detach().norm() / exact.detach().norm()) < 0.01
    own = torch.autograd.grad(found.float().square().sum(), weight)[0]
    assert float((own - gradient).norm() / gradient.norm()) < 0.01


def test_the_layer_of_mobilenet_is_a_convolution() -> None:
    torch.manual_seed(0)
    layer = StridedDepthwise(16, 16, 3, 2, 1, groups=16, bias=False)
    x = torch.randn(4, 16, 12, 12)
    exact = F.conv2d(x, layer.weight, None, 2, 1, 1, 16)
    torch.testing.assert_close(layer(x), exact)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert float((found - exact).detach().norm() / exact.detach().norm()) < 0.01

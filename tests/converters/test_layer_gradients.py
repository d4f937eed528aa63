"""Functions of layers: gradients against finite differences, vmap, half precision."""

import pytest
import torch

from onnxprune.converters.functions import (
    attention,
    convolution,
    linear_attention,
    normalization,
    pooling,
    recurrent,
    resize,
    signal,
    spatial,
)
from tests.converters.differentiation import differentiates, halves, maps_samples, numbers

LINE, IMAGE, CUBE = numbers(2, 4, 7), numbers(2, 4, 5, 6), numbers(1, 2, 4, 3, 5)
C4, C4B, POSITIVE4 = numbers(4), numbers(4, seed=1), numbers(4, low=0.3)
QKV = [numbers(2, 4, 3, 4, seed=seed) for seed in range(1)] + [numbers(2, 2, 5, 4, seed=s) for s in (1, 2)]
MASK = torch.tensor([[True, False, True, True, False], [False] * 5, [True] * 5])
BIAS = numbers(2, 1, 3, 5, seed=4)
PAST = [numbers(2, 2, 3, 4, seed=s) for s in (5, 6)]
LENGTHS = torch.tensor([3, 2], dtype=torch.int32)
GRID = numbers(2, 3, 4, 2, low=-1.3, high=1.3)
ROIS = torch.tensor([[0.3, 0.6, 4.1, 3.7], [1.2, 0.1, 5.3, 4.4]], dtype=torch.float64)
RESIZED = [None, [1.0, 1.0, 1.7, 0.6]]


def recurrent_inputs(gates: int, directions: int) -> list[torch.Tensor]:
    """X, W, R and B of three steps, two samples, two inputs and three hidden."""
    shapes = ((3, 2, 2), (directions, gates * 3, 2), (directions, gates * 3, 3), (directions, gates * 6))
    return [numbers(*shape, low=-1, high=1, seed=seed) for seed, shape in enumerate(shapes)]


def state(seed: int, directions: int = 1) -> torch.Tensor:
    return numbers(directions, 2, 3, low=-1, high=1, seed=seed)


BOTH = {"direction": "bidirectional", "_outputs": 1}
CASES = {
    "Conv 1D": (convolution.conv, [LINE, numbers(2, 4, 3), numbers(2)], {"auto_pad": "SAME_UPPER"}),
    "Conv 2D": (convolution.conv, [IMAGE, numbers(4, 2, 3, 2), C4], {"group": 2, "pads": [1, 0, 2, 1]}),
    "Conv 3D": (convolution.conv, [CUBE, numbers(3, 2, 2, 2, 2)], {"dilations": [2, 1, 1]}),
    "ConvTranspose": (
        convolution.conv_transpose,
        [IMAGE, numbers(4, 1, 3, 2), numbers(2)],
        {"group": 2, "strides": [2, 3], "output_shape": [12, 17]},
    ),
    "ConvTranspose with padding": (
        convolution.conv_transpose,
        [LINE, numbers(4, 2, 3), numbers(2)],
        {"strides": [2], "pads": [1, 0], "output_padding": [1]},
    ),
    "DeformConv": (
        convolution.deform_conv,
        [IMAGE, numbers(2, 4, 2, 2), numbers(2, 8, 4, 5), numbers(2), numbers(2, 4, 4, 5, seed=1)],
        {},
    ),
    "Col2Im": (
        convolution.col2im,
        [numbers(2, 12, 9), [4, 5], [2, 3]],
        {"strides": [1, 1]},
    ),
    "CausalConvWithState": (
        linear_attention.causal_conv_with_state,
        [LINE, numbers(4, 1, 3), C4, numbers(2, 4, 2)],
        {"activation": "silu"},
    ),
    "MaxPool": (
        pooling.max_pool,
        [IMAGE],
        {"kernel_shape": [3, 2], "ceil_mode": 1, "strides": [2, 2], "pads": [2, 0, 0, 1], "_outputs": 1},
    ),
    "AveragePool": (
        pooling.average_pool,
        [IMAGE],
        {"kernel_shape": [3, 2], "ceil_mode": 1, "strides": [2, 3], "dilations": [1, 2]},
    ),
    "AveragePool with padding": (
        pooling.average_pool,
        [CUBE],
        {"kernel_shape": [2, 2, 3], "pads": [1, 0, 2, 0, 1, 0], "count_include_pad": 1},
    ),
    "LpPool": (pooling.lp_pool, [LINE], {"kernel_shape": [3], "p": 3, "dilations": [2]}),
    "GlobalAveragePool": (pooling.global_average_pool, [CUBE], {}),
    "GlobalMaxPool": (pooling.global_max_pool, [CUBE], {}),
    "GlobalLpPool": (pooling.global_lp_pool, [CUBE], {"p": 3}),
    "BatchNormalization": (
        normalization.batch_normalization,
        [IMAGE, C4, C4B, C4, POSITIVE4],
        {"_training": False, "_outputs": 1},
    ),
    "BatchNormalization of the batch": (
        normalization.batch_normalization,
        [IMAGE, C4, C4B, C4, POSITIVE4],
        {"training_mode": 1, "_training": False, "_outputs": 1},
    ),
    "BatchNormalization by place": (
        normalization.batch_normalization_7,
        [LINE, *(numbers(4, 7, seed=seed) for seed in range(3)), numbers(4, 7, low=0.3)],
        {"spatial": 0, "_training": False, "_outputs": 1},
    ),
    "InstanceNormalization": (normalization.instance_normalization, [IMAGE, C4, C4B], {}),
    "LayerNormalization": (
        normalization.layer_normalization,
        [IMAGE, numbers(5, 6), numbers(5, 6, seed=1)],
        {"axis": 2, "_outputs": 1},
    ),
    "LayerNormalization with statistics": (
        normalization.layer_normalization,
        [LINE, numbers(7)],
        {"_outputs": 3},
    ),
    "RMSNormalization": (normalization.rms_normalization, [IMAGE, numbers(5, 6)], {"axis": -2}),
    "GroupNormalization": (normalization.group_normalization, [IMAGE, C4, C4B], {"num_groups": 2}),
    "GroupNormalization 18": (
        normalization.group_normalization_18,
        [IMAGE, numbers(2), numbers(2, seed=1)],
        {"num_groups": 2},
    ),
    "LRN": (normalization.lrn, [IMAGE], {"size": 4, "alpha": 0.5}),
    "LpNormalization": (normalization.lp_normalization, [IMAGE], {"axis": 1, "p": 1}),
    "MeanVarianceNormalization": (normalization.mean_variance_normalization, [IMAGE], {}),
    "Resize linear": (resize.resize, [IMAGE, *RESIZED], {"mode": "linear"}),
    "Resize smaller": (resize.resize, [IMAGE, *RESIZED], {"mode": "linear", "antialias": 1}),
    "Resize cubic": (resize.resize, [IMAGE, *RESIZED], {"mode": "cubic", "exclude_outside": 1}),
    "Resize nearest": (resize.resize, [IMAGE, *RESIZED], {"nearest_mode": "ceil"}),
    "Resize twice": (resize.resize, [IMAGE, None, [1.0, 1.0, 2.0, 2.0]], {"mode": "linear"}),
    "Resize cropped": (
        resize.resize,
        [IMAGE, [0.0, 0.0, -0.2, 0.1, 1.0, 1.0, 0.7, 1.2], None, [2, 4, 3, 7]],
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
    ),
    "GridSample": (spatial.grid_sample, [IMAGE, GRID], {"padding_mode": "border"}),
    "AffineGrid": (spatial.affine_grid, [numbers(2, 2, 3), [2, 3, 4, 5]], {}),
    "RoiAlign": (spatial.roi_align, [IMAGE, ROIS, torch.tensor([0, 1])], {"output_width": 2}),
    "RoiAlign of maxima": (
        spatial.roi_align,
        [IMAGE, ROIS, torch.tensor([1, 1])],
        {"mode": "max", "sampling_ratio": 2},
    ),
    "DepthToSpace": (spatial.depth_to_space, [IMAGE], {"blocksize": 2}),
    "SpaceToDepth": (spatial.space_to_depth, [numbers(1, 2, 4, 6)], {"blocksize": 2, "mode": "CRD"}),
    "CenterCropPad": (spatial.center_crop_pad, [IMAGE, [3, 9]], {"axes": [2, -1]}),
    "DFT": (signal.dft, [numbers(2, 5, 2)], {}),
    "DFT back": (signal.dft, [numbers(2, 5, 2), 8], {"inverse": 1, "onesided": 1}),
    "STFT": (signal.stft, [numbers(2, 9, 1), 2, numbers(4)], {}),
    "Attention": (attention.attention, QKV, {"_outputs": 1}),
    "Attention capped": (attention.attention, [*QKV, BIAS], {"softcap": 1.5, "_outputs": 1}),
    "Attention of blind queries": (attention.attention, [*QKV, MASK], {"_outputs": 1}),
    "Attention with a cache": (
        attention.attention,
        [*QKV, None, *PAST],
        {"is_causal": 1, "left_window_size": 4, "_outputs": 3},
    ),
    "RotaryEmbedding": (
        attention.rotary_embedding,
        [QKV[0], numbers(9, 1), numbers(9, 1, seed=1), torch.tensor([[0, 3, 8], [1, 1, 2]])],
        {"rotary_embedding_dim": 2, "interleaved": 1},
    ),
    "LinearAttention": (
        linear_attention.linear_attention,
        [*(numbers(2, 3, 8, seed=s) for s in range(3)), None, numbers(2, 3, 2), numbers(2, 3, 2, seed=1)],
        {"q_num_heads": 2, "kv_num_heads": 2},
    ),
    "RNN": (recurrent.rnn, recurrent_inputs(1, 2), BOTH),
    "RNN of lengths": (recurrent.rnn, [*recurrent_inputs(1, 2), LENGTHS], BOTH),
    "GRU": (recurrent.gru, recurrent_inputs(3, 1), {"_outputs": 1}),
    "GRU, linear first": (
        recurrent.gru,
        [*recurrent_inputs(3, 1), LENGTHS, state(5)],
        {"linear_before_reset": 1, "direction": "reverse", "_outputs": 1},
    ),
    "LSTM": (recurrent.lstm, [*recurrent_inputs(4, 2), None, state(5, 2), state(6, 2)], BOTH),
    "LSTM with peepholes": (
        recurrent.lstm,
        [*recurrent_inputs(4, 1), LENGTHS, None, state(5), numbers(1, 9)],
        {"clip": 1.7, "activations": ["HardSigmoid", "Softsign", "Tanh"], "_outputs": 1},
    ),
}
NOT_MAPPED = {"AffineGrid"}  # its size input says how many samples there are
WIDE = {"DFT", "DFT back", "STFT", "RoiAlign", "RoiAlign of maxima"}  # jumps where places are rounded


@pytest.mark.parametrize(("function", "inputs", "keywords"), CASES.values(), ids=CASES)
def test_gradients_are_those_of_finite_differences(function, inputs, keywords):
    assert differentiates(function, inputs, **keywords)


@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_MAPPED))
def test_each_sample_under_vmap_is_as_it_is_alone(name):
    function, inputs, keywords = CASES[name]
    assert maps_samples(function, inputs, **keywords)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(CASES.keys() - WIDE))
def test_half_precision_stays_half_and_near(name, dtype):
    function, inputs, keywords = CASES[name]
    assert halves(function, inputs, dtype, **keywords)

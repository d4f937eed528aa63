"""Layers over attributes and opsets that onnx's own cases leave out, in torch and in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper, parser

from onnxprune.converters import to_torch
from onnxprune.converters.functions import normalization, resize
from onnxprune.onnx_file.graph import view
from tests.converters.against_ort import node_agrees, same

RNG = np.random.default_rng(0)
FLAG = st.integers(0, 1)
few = settings(max_examples=25, deadline=None)
AUTO = st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"])


def drawn(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Kernel, strides, dilations and padding of one to three axes; no stride skips more than the kernel."""
    rank = draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    found: dict[str, Any] = {"kernel_shape": kernel, "strides": [draw(st.integers(1, k)) for k in kernel]}
    if draw(st.booleans()):
        return found | {"auto_pad": draw(AUTO)}
    found["dilations"] = [draw(st.integers(1, 2)) for _ in kernel]
    return found | {"pads": [draw(st.integers(0, k - 1)) for k in kernel * 2]}


def image(attributes: dict[str, Any], channels: int = 4) -> Any:
    return drawn(2, channels, *(7, 6, 5)[: len(attributes["kernel_shape"])])


@few
@given(attributes=windows(), group=st.sampled_from([1, 2]), bias=FLAG, bare=FLAG)
def test_convolutions_pad_as_their_attributes_say(attributes, group, bias, bare):
    kernel = attributes["kernel_shape"]
    inputs = [image(attributes), drawn(6, 4 // group, *kernel), drawn(6) if bias else None]
    stated = {k: v for k, v in attributes.items() if not (bare and k == "kernel_shape")}
    node_agrees("Conv", inputs, opset=11, group=group, **stated)
    back = [image(attributes), drawn(4, 6 // group, *kernel), drawn(6) if bias else None]
    node_agrees("ConvTranspose", back, opset=11, group=group, **stated)


@few
@given(attributes=windows(), more=st.integers(-1, 1), upper=FLAG)
def test_transposed_convolutions_reach_a_stated_shape(attributes, more, upper):
    data, kernel = image(attributes), attributes["kernel_shape"]
    reached = [
        (extent - 1) * stride + k + (more if k > 1 else 0)
        for extent, stride, k in zip(data.shape[2:], attributes["strides"], kernel, strict=True)
    ]
    assume(all(stride > more for stride in attributes["strides"]))
    auto = {"auto_pad": "SAME_UPPER"} if upper else {}
    weights = drawn(4, 2, *kernel)
    node_agrees(
        "ConvTranspose",
        [data, weights, drawn(2)],
        opset=11,
        strides=attributes["strides"],
        output_shape=reached,
        **auto,
    )


@few
@given(attributes=windows(), ceil=FLAG, order=FLAG)
def test_maxima_come_with_their_places(attributes, ceil, order):
    ceil = 0 if "auto_pad" in attributes else ceil
    extra = {"ceil_mode": ceil, "storage_order": order}
    node_agrees("MaxPool", [image(attributes)], opset=12, outputs=2, **attributes, **extra)


@few
@given(attributes=windows(), ceil=FLAG, padding=FLAG)
def test_averages_count_what_they_should(attributes, ceil, padding):
    ceil = 0 if "auto_pad" in attributes else ceil
    extra = {"ceil_mode": ceil, "count_include_pad": padding}
    node_agrees("AveragePool", [image(attributes)], opset=19, **attributes, **extra)


@few
@given(attributes=windows(), p=st.integers(1, 3), ceil=FLAG)
def test_norms_of_windows(attributes, p, ceil):
    ceil = 0 if "auto_pad" in attributes else ceil
    node_agrees("LpPool", [image(attributes)], opset=18, p=p, ceil_mode=ceil, **attributes)


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization_of_each_opset(opset):
    parts = [drawn(4), drawn(4), drawn(4), np.abs(drawn(4))]
    node_agrees("BatchNormalization", [drawn(2, 4, 3, 5), *parts], opset=opset, epsilon=0.01)


def test_batch_normalization_updates_its_statistics_in_training_by_the_share_that_stays():
    data, mean, var = torch.from_numpy(drawn(8, 4, 3)), torch.zeros(4), torch.ones(4)
    normalization.batch_normalization(
        data, torch.ones(4), torch.zeros(4), mean, var, momentum=0.75, _training=True, _outputs=1
    )
    torch.testing.assert_close(mean, 0.25 * data.mean((0, 2)))
    torch.testing.assert_close(var, 0.75 + 0.25 * data.var((0, 2)))


@pytest.mark.parametrize(("axis", "shape"), [(-1, "4"), (-2, "3,4")])
def test_layer_normalization_gives_its_statistics(axis, shape):
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[2,3,4] X, float[{shape}] W) => (float[] Y, float[] mean, float[] inverse) {{
            Y, mean, inverse = LayerNormalization <axis = {axis}, epsilon = 0.01> (X, W) }}"""
    same(text, {"X": drawn(2, 3, 4), "W": drawn(*(3, 4)[axis:])})


# --- resizing --------------------------------------------------------------------------------------------

TRANSFORMATIONS = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners")
SIZES = st.lists(st.integers(1, 13), min_size=2, max_size=2)
SCALE = st.sampled_from([0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 2.3, 3.0, 4.0])


@settings(max_examples=60, deadline=None)
@given(
    size=SIZES,
    mode=st.sampled_from(["nearest", "linear", "cubic"]),
    transformation=st.sampled_from(TRANSFORMATIONS),
    rounding=st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    outside=FLAG,
    antialias=FLAG,
)
def test_resizes_to_a_size(size, mode, transformation, rounding, outside, antialias):
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": transformation}
    if mode == "nearest":
        attributes["nearest_mode"] = rounding
    else:
        attributes["antialias"] = antialias
    if mode == "cubic":
        attributes |= {"exclude_outside": outside, "cubic_coeff_a": -0.5}
    inputs = [drawn(1, 2, 5, 6), None, None, np.array([1, 2, *size])]
    node_agrees("Resize", inputs, opset=19, **attributes)


@few
@given(scales=st.tuples(SCALE, SCALE), mode=st.sampled_from(["nearest", "linear"]))
@pytest.mark.parametrize(("operator", "opset"), [("Resize", 10), ("Upsample", 9), ("Resize", 13)])
def test_resizes_by_scales_in_each_opset(operator, opset, scales, mode):
    factors = np.array([1, 1, *scales], np.float32)
    assume(operator == "Resize" or min(scales) >= 1)
    data = drawn(1, 2, 5, 6)
    inputs = [data, None, factors] if opset > 10 else [data, factors]
    node_agrees(operator, inputs, opset=opset, mode=mode)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_whole_scales_repeat_each_pixel_however_many_there_are(scale):
    data = torch.arange(4096, dtype=torch.float64).reshape(1, 1, 4096, 1)
    resized = resize.resize(data, None, [1.0, 1.0, float(scale), 1.0])
    assert torch.equal(resized, data.repeat_interleave(scale, 2))


# --- recurrent layers ------------------------------------------------------------------------------------

LAYERS = {"RNN": (1, 1, ["Relu"]), "GRU": (3, 2, ["HardSigmoid", "Softsign"])}
LAYERS["LSTM"] = (4, 3, ["HardSigmoid", "Tanh", "Elu"])


@pytest.mark.parametrize("operator", LAYERS)
@few
@given(
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    other=st.booleans(),
    clip=st.sampled_from([None, 0.4]),
    given_=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    flag=FLAG,
)
def test_recurrent_layers_with_every_setting(operator, direction, other, clip, given_, flag):
    gates, _, activations = LAYERS[operator]
    both = 2 if direction == "bidirectional" else 1
    bias, lengths, start = given_
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": 3}
    attributes |= {"activations": activations * both} if other else {}
    attributes |= {"clip": clip} if clip else {}
    inputs = [drawn(4, 2, 2), drawn(both, gates * 3, 2), drawn(both, gates * 3, 3)]
    inputs += [drawn(both, gates * 6) if bias else None, np.array([4, 2], np.int32) if lengths else None]
    inputs.append(drawn(both, 2, 3) if start else None)
    if operator == "GRU":
        attributes["linear_before_reset"] = flag
    if operator == "LSTM":
        attributes["input_forget"] = flag
        inputs += [drawn(both, 2, 3) if start else None, drawn(both, 9) if flag else None]
    node_agrees(operator, inputs, opset=14, outputs=3 if operator == "LSTM" else 2, **attributes)


def test_states_at_the_beginning_and_angles_are_no_weights():
    text = """<ir_version: 10, opset_import: ["" : 23]>
        agraph (float[2,1,4] X) => (float[2,1,1,4] Y)
        <float[1,16,4] W = {}, float[1,16,4] R = {}, float[1,1,4] h = {}, float[1,1,4] c = {},
         float[2,1,2] cos = {}, float[2,1,2] sin = {}> {
            turned = RotaryEmbedding <num_heads = 1> (X, cos, sin)
            Y = LSTM <hidden_size = 4> (turned, W, R, , , h, c)
        }"""
    model = parser.parse_model(text.replace("{},", "{0},").replace("{}>", "{0}>"))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(drawn(*tensor.dims), tensor.name))
    module = to_torch(view(model, Path("model.onnx")))
    assert {name for name, _ in module.weights()} == {"W", "R"}


# --- images and signals ----------------------------------------------------------------------------------


@few
@given(
    mode=st.sampled_from(["linear", "nearest", "cubic"]),
    padding=st.sampled_from(["zeros", "border", "reflection"]),
    align=FLAG,
)
def test_grids_sample_as_torch_does(mode, padding, align):
    grid = RNG.uniform(-1.3, 1.3, (1, 3, 4, 2)).astype(np.float32)
    modes = {"mode": mode, "padding_mode": padding}
    node_agrees("GridSample", [drawn(1, 2, 5, 6), grid], opset=20, align_corners=align, **modes)


@few
@given(
    opset=st.sampled_from([10, 16]), mode=st.sampled_from(["avg", "max"]), ratio=st.integers(0, 2), half=FLAG
)
def test_regions_are_sampled_where_onnx_says(opset, mode, ratio, half):
    rois = np.array([[0.3, 0.2, 5, 4.4], [-1, 2, 9, 8], [3, 3, 3.2, 3.1]], np.float32)
    where = {"coordinate_transformation_mode": "half_pixel" if half else "output_half_pixel"}
    sizes = {"output_height": 2, "output_width": 3, "sampling_ratio": ratio, "spatial_scale": 0.8}
    inputs = [drawn(2, 3, 6, 7), rois, np.array([1, 0, 1])]
    node_agrees("RoiAlign", inputs, opset=opset, mode=mode, **sizes, **(where if opset == 16 else {}))


@few
@given(most=st.integers(0, 6), overlap=st.floats(0, 1), least=st.floats(0, 1), centred=FLAG)
def test_boxes_that_overlap_better_ones_are_left_out(most, overlap, least, centred):
    boxes, scores = RNG.random((2, 9, 4)), RNG.random((2, 3, 9))
    limits = [np.array([most]), np.array([overlap], np.float32), np.array([least], np.float32)]
    inputs = [boxes.astype(np.float32), scores.astype(np.float32), *limits]
    node_agrees("NonMaxSuppression", inputs, opset=11, center_point_box=centred)


# --- fused operators -------------------------------------------------------------------------------------

HEAD = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'


@pytest.mark.parametrize(
    "nodes",
    [
        "Y = com.microsoft.BiasGelu(X, b)",
        "Y = com.microsoft.FastGelu(X, b)",
        "Y = com.microsoft.QuickGelu <alpha = 1.3> (X)",
        'Y = com.microsoft.FusedGemm <activation = "LeakyRelu", activation_alpha = 0.2> (m, w, b)',
        "Y = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (X, w)",
        "Y = com.microsoft.SkipLayerNormalization (X, X, b, b, b)",
        "Y = com.microsoft.SkipSimplifiedLayerNormalization (X, X, b)",
        "Y = SimplifiedLayerNormalization <axis = -1> (X, b)",
        "Y = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (X, w3, b3)",
        "Y = com.microsoft.Attention <num_heads = 2> (X, w3, b3, lengths)",
        "Y = com.microsoft.MultiHeadAttention <num_heads = 2> (X, X, X, b3, lengths)",
        "Y = com.microsoft.MultiHeadAttention <num_heads = 2> (X, X, X, , seen)",
    ],
)
def test_fused_operators_are_as_onnx_runtime_has_them(nodes):
    text = f"""{HEAD} agraph (float[2,3,8] X, float[3,8] m, float[8,8] w, float[8] b, float[8,24] w3,
        float[24] b3, int32[2] lengths, int32[2,3] seen) => (float[] Y) {{ {nodes} }}"""
    feeds = {"X": drawn(2, 3, 8), "m": drawn(3, 8), "w": drawn(8, 8), "b": drawn(8), "w3": drawn(8, 24)}
    feeds |= {"b3": drawn(24), "lengths": np.array([3, 1], np.int32)}
    same(text, feeds | {"seen": np.array([[1, 1, 0], [0, 1, 1]], np.int32)})


def test_a_convolution_takes_its_activation_and_what_is_added_before_it():
    text = f"""{HEAD}
        agraph (float[1,2,5,5] X, float[3,2,3,3] W, float[3] B, float[1,3,5,5] Z) => (float[] Y) {{
        Y = com.microsoft.FusedConv <pads = [1,1,1,1], activation = "Clip", activation_params = [-0.3, 0.6]>
            (X, W, B, Z) }}"""
    same(text, {"X": drawn(1, 2, 5, 5), "W": drawn(3, 2, 3, 3), "B": drawn(3), "Z": drawn(1, 3, 5, 5)})

"""The law where axes are joined, cut and grouped: DenseNet, U-Net, C2f, GLU, shuffles, grouped Conv."""

from tests.law.build import ints
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[N,3,8,8] x => float[N,5] y"
HEAD = """
    pool = GlobalAveragePool(last)
    flat = Flatten(pool)
    y = Gemm<transB=1>(flat, fc, fcb)
"""


def norm(name: str, count: int) -> dict[str, int]:
    return {f"s_{name}": count, f"b_{name}": count, f"m_{name}": count, f"var_{name}": count}


def axes(name: str) -> str:
    return f"s_{name}.0 b_{name}.0 m_{name}.0 var_{name}.0"


def test_densenet_layers_keep_channels_of_their_own_behind_each_concat(law: Law) -> None:
    body = """
        a = Conv<pads=[1,1,1,1]>(x, w1)
        n1 = BatchNormalization(a, s_1, b_1, m_1, var_1)
        r1 = Relu(n1)
        g1 = Conv<pads=[1,1,1,1]>(r1, w2)
        c1 = Concat<axis=1>(a, g1)
        n2 = BatchNormalization(c1, s_2, b_2, m_2, var_2)
        r2 = Relu(n2)
        g2 = Conv<pads=[1,1,1,1]>(r2, w3)
        c2 = Concat<axis=1>(c1, g2)
        n3 = BatchNormalization(c2, s_3, b_3, m_3, var_3)
        last = Relu(n3)
    """
    weights = {"w1": (6, 3, 3, 3), **norm("1", 6), "w2": (4, 6, 3, 3), **norm("2", 10), "w3": (4, 10, 3, 3)}
    found = law(IMAGE, body + HEAD, **weights, **norm("3", 14), fc=(5, 14), fcb=5)
    assert found == [
        f"6: w1.0 {axes('1')} w2.1 {axes('2')} w3.1 {axes('3')} fc.1",
        f"4: w2.0 {axes('2')} w3.1 {axes('3')} fc.1",
        f"4: w3.0 {axes('3')} fc.1",
    ]


UNET = """
    a = Conv<pads=[1,1,1,1]>(x, w1, b1)
    d = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
    e = Conv<pads=[1,1,1,1]>(d, w2, b2)
    u = {up}
    c = Concat<axis=1>(a, u)
    f = Conv<pads=[1,1,1,1]>(c, w3)
    y = Conv(f, w4)
"""
GROWS = Trial(sizes=({"H": 8, "W": 8}, {"H": 12, "W": 16}))
SEGMENT = "float[N,3,H,W] x => float[N,2,H,W] y"
UNET_WEIGHTS = {"w1": (6, 3, 3, 3), "b1": 6, "w2": (8, 6, 3, 3), "b2": 8}


def test_unet_by_transposed_convolution(law: Law) -> None:
    body = UNET.format(up="ConvTranspose<strides=[2,2]>(e, wt, bt)")
    weights = {"wt": (8, 4, 2, 2), "bt": 4, "w3": (7, 10, 3, 3), "w4": (2, 7, 1, 1)}
    assert law(SEGMENT, body, trial=GROWS, **UNET_WEIGHTS, **weights) == [
        "6: w1.0 b1.0 w2.1 w3.1",
        "8: w2.0 b2.0 wt.0",
        "4: wt.1 bt.0 w3.1",
        "7: w3.0 w4.1",
    ]


def test_unet_by_resize_with_scales(law: Law) -> None:
    import numpy as np

    body = UNET.format(up='Resize<mode="nearest">(e, , scales)')
    weights = {"scales": np.array([1, 1, 2, 2], np.float32), "w3": (7, 14, 3, 3), "w4": (2, 7, 1, 1)}
    assert law(SEGMENT, body, trial=GROWS, **UNET_WEIGHTS, **weights) == [
        "6: w1.0 b1.0 w2.1 w3.1",
        "8: w2.0 b2.0 w3.1",
        "7: w3.0 w4.1",
    ]


def test_resize_with_constant_sizes_counts_the_channels_in_them(law: Law) -> None:
    body = UNET.format(up='Resize<mode="linear">(e, , , sizes)')
    weights = {"sizes": ints(1, 8, 8, 8), "w3": (7, 14, 3, 3), "w4": (2, 7, 1, 1)}
    assert law("float[1,3,8,8] x => float[1,2,8,8] y", body, **UNET_WEIGHTS, **weights) == [
        "6: w1.0 b1.0 w2.1 w3.1",
        "8: w2.0 b2.0 w3.1",
        "7: w3.0 w4.1",
    ]


C2F = """
    a = Conv(x, w1, b1)
    l, r = {split}
    b = Conv<pads=[1,1,1,1]>(r, w2)
    b2 = Sigmoid(b)
    c = Conv<pads=[1,1,1,1]>(b2, w3)
    s = Add(r, c)
    j = Concat<axis=1>(l, r, s)
    last = Conv(j, w4)
"""
C2F_WEIGHTS = {"w1": (8, 3, 1, 1), "b1": 8, "w2": (4, 4, 3, 3), "w3": (4, 4, 3, 3), "w4": (6, 12, 1, 1)}
C2F_FREE = [
    "4: w1.0 b1.0 w4.1",
    "4: w1.0 b1.0 w2.1 w3.0 w4.1",
    "4: w2.0 w3.1",
    "6: w4.0 fc.1",
]


def test_c2f_with_split_sizes_as_an_input(law: Law) -> None:
    body = C2F.format(split="Split<axis=1>(a, sizes)") + HEAD
    assert law(IMAGE, body, **C2F_WEIGHTS, sizes=ints(4, 4), fc=(5, 6), fcb=5) == C2F_FREE


def test_c2f_with_split_sizes_left_out_by_opset_13(law: Law) -> None:
    body = C2F.format(split="Split<axis=1>(a)") + HEAD
    assert law(IMAGE, body, opset=13, **C2F_WEIGHTS, fc=(5, 6), fcb=5) == C2F_FREE


def test_c2f_with_split_sizes_as_an_attribute(law: Law) -> None:
    body = C2F.format(split="Split<axis=-3, split=[4,4]>(a)") + HEAD
    assert law(IMAGE, body, opset=12, **C2F_WEIGHTS, fc=(5, 6), fcb=5) == C2F_FREE


def test_c2f_with_the_number_of_outputs(law: Law) -> None:
    body = C2F.format(split="Split<axis=1, num_outputs=2>(a)") + HEAD
    assert law(IMAGE, body, **C2F_WEIGHTS, fc=(5, 6), fcb=5) == C2F_FREE


def test_c2f_with_split_sizes_left_out_before_opset_13(law: Law) -> None:
    body = C2F.format(split="Split<axis=1>(a)") + HEAD
    assert law(IMAGE, body, opset=11, **C2F_WEIGHTS, fc=(5, 6), fcb=5) == C2F_FREE


GLU = """
    a = Conv(x, w1, b1)
    {halves}
    h = Sigmoid(r)
    last = Mul(l, h)
"""
GLU_WEIGHTS = {"w1": (12, 3, 1, 1), "b1": 12}


def test_glu_by_split_couples_both_halves(law: Law) -> None:
    body = GLU.format(halves="l, r = Split<axis=1, num_outputs=2>(a)") + HEAD
    assert law(IMAGE, body, **GLU_WEIGHTS, fc=(5, 6), fcb=5) == ["6: w1.0 b1.0 fc.1"]


def test_glu_by_channel_slices_couples_both_halves(law: Law) -> None:
    body = GLU.format(halves="l = Slice(a, zero, six, axis)\nr = Slice(a, six, end, axis)") + HEAD
    bounds = {"zero": ints(0), "six": ints(6), "end": ints(2**63 - 1), "axis": ints(1)}
    assert law(IMAGE, body, **GLU_WEIGHTS, **bounds, fc=(5, 6), fcb=5) == ["6: w1.0 b1.0 fc.1"]


def test_glu_by_slices_with_attributes_and_negative_bounds(law: Law) -> None:
    halves = "l = Slice<axes=[1], starts=[0], ends=[-6]>(a)\nr = Slice<axes=[1], starts=[-6], ends=[100]>(a)"
    found = law(IMAGE, GLU.format(halves=halves) + HEAD, opset=9, **GLU_WEIGHTS, fc=(5, 6), fcb=5)
    assert found == ["6: w1.0 b1.0 fc.1"]


def test_a_strided_slice_couples_the_neighbours_that_it_separates(law: Law) -> None:
    halves = "l = Slice(a, zero, end, axis, two)\nr = Slice(a, one, end, axis, two)"
    bounds = {"zero": ints(0), "one": ints(1), "end": ints(100), "axis": ints(1), "two": ints(2)}
    found = law(IMAGE, GLU.format(halves=halves) + HEAD, **GLU_WEIGHTS, **bounds, fc=(5, 6), fcb=5)
    assert found == ["6: w1.0 b1.0 fc.1"]


def test_a_reversing_slice_reverses_the_channels(law: Law) -> None:
    body = "a = Conv(x, w1)\nr = Slice(a, last_one, before, axis, back)\nb = Conv(x, w2)\nlast = Add(r, b)\n"
    bounds = {"last_one": ints(-1), "before": ints(-(2**63)), "axis": ints(1), "back": ints(-1)}
    weights = {"w1": (6, 3, 1, 1), "w2": (6, 3, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, **bounds, fc=(5, 6), fcb=5) == ["6: w1.0 w2.0 fc.1"]


SHUFFLE = """
    a = Conv<group=2>(x0, w1)
    g = Reshape(a, grid)
    t = Transpose<perm=[0,2,1,3,4]>(g)
    f = Reshape(t, flat_shape)
    last = Conv<group=2>(f, w2)
"""


def test_channel_shuffle_between_grouped_convolutions(law: Law) -> None:
    body = "x0 = Conv(x, w0)\n" + SHUFFLE + HEAD
    weights = {"w0": (8, 3, 1, 1), "w1": (12, 4, 1, 1), "w2": (8, 6, 1, 1), "fc": (5, 8), "fcb": 5}
    shapes = {"grid": ints(-1, 2, 6, 8, 8), "flat_shape": ints(-1, 12, 8, 8)}
    assert law(IMAGE, body, **weights, **shapes) == [
        "4: w0.0 w1.1",
        "3: w1.0 w2.1",
        "4: w2.0 fc.1",
    ]


def test_channel_shuffle_of_split_halves_as_in_shufflenet(law: Law) -> None:
    body = """
        a = Conv(x, w0)
        l, r = Split<axis=1, num_outputs=2>(a)
        c = Conv(r, w1)
        j = Concat<axis=1>(l, c)
        g = Reshape(j, grid)
        t = Transpose<perm=[0,2,1,3,4]>(g)
        f = Reshape(t, flat_shape)
        l2, r2 = Split<axis=1, num_outputs=2>(f)
        c2 = Conv(r2, w2)
        last = Concat<axis=1>(l2, c2)
    """
    weights = {"w0": (8, 3, 1, 1), "w1": (4, 4, 1, 1), "w2": (4, 4, 1, 1), "fc": (5, 8), "fcb": 5}
    shapes = {"grid": ints(0, 2, 4, 8, 8), "flat_shape": ints(0, -1, 8, 8)}
    assert law(IMAGE, body + HEAD, **weights, **shapes) == [
        "2: w0.0 w1.0 fc.1",
        "2: w0.0 w1.0 w2.1",
        "4: w0.0 w1.1",
        "4: w2.0 fc.1",
    ]


def test_pixel_shuffle_by_depth_to_space_and_by_reshape(law: Law) -> None:
    body = """
        a = Conv(x, w1, b1)
        d = DepthToSpace<blocksize=2, mode="CRD">(a)
        e = Conv(d, w2)
        g = Reshape(e, grid)
        t = Transpose<perm=[0,1,4,2,5,3]>(g)
        f = Reshape(t, space)
        h = Conv(f, w3)
        i = DepthToSpace<blocksize=2>(h)
        y = Conv(i, w4)
    """
    weights = {"w1": (12, 3, 1, 1), "b1": 12, "w2": (16, 3, 1, 1), "w3": (8, 4, 1, 1), "w4": (2, 2, 1, 1)}
    shapes = {"grid": ints(-1, 4, 2, 2, 16, 16), "space": ints(-1, 4, 32, 32)}
    assert law("float[N,3,8,8] x => float[N,2,64,64] y", body, **weights, **shapes) == [
        "3: w1.0 b1.0 w2.1",
        "4: w2.0 w3.1",
        "2: w3.0 w4.1",
    ]


def test_space_to_depth_repeats_its_channels(law: Law) -> None:
    body = "a = Conv(x, w1)\nd = SpaceToDepth<blocksize=2>(a)\nlast = Conv(d, w2)\n"
    assert law(IMAGE, body + HEAD, w1=(6, 3, 1, 1), w2=(7, 24, 1, 1), fc=(5, 7), fcb=5) == [
        "6: w1.0 w2.1",
        "7: w2.0 fc.1",
    ]


def test_grouped_convolution_keeps_its_groups(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = Conv<group=3, pads=[1,1,1,1]>(a, w2, b2)\nr = Relu(b)\nlast = Conv(r, w3)\n"
    weights = {"w1": (12, 3, 1, 1), "w2": (6, 4, 3, 3), "b2": 6, "w3": (4, 6, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 4), fcb=5) == [
        "4: w1.0 w2.1",
        "2: w2.0 b2.0 w3.1",
        "4: w3.0 fc.1",
    ]


def test_grouped_convolution_inside_a_residual(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = Conv<group=2>(a, w2)\nc = Conv<group=4>(b, w3)\nlast = Add(a, c)\n"
    weights = {"w1": (8, 3, 1, 1), "w2": (8, 4, 1, 1), "w3": (8, 2, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 8), fcb=5) == [
        "2: w1.0 w2.1 w3.0 fc.1",
        "2: w2.0 w3.1",
    ]


def test_depthwise_multiplier_drops_all_outputs_of_an_input(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = Conv<group=6>(a, w2, b2)\nlast = Conv(b, w3)\n"
    weights = {"w1": (6, 3, 1, 1), "w2": (12, 1, 3, 3), "b2": 12, "w3": (4, 12, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 4), fcb=5) == ["6: w1.0 w2.0 b2.0 w3.1", "4: w3.0 fc.1"]


def test_transposed_convolution_in_groups_and_depthwise(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = ConvTranspose<group=2, strides=[2,2]>(a, w2, b2)
        c = ConvTranspose<group=6>(b, w3, b3)
        d = ConvTranspose<group=6>(c, w4)
        last = Conv(d, w5)
    """
    weights = {"w1": (8, 3, 1, 1), "w2": (8, 3, 2, 2), "b2": 6, "w3": (6, 1, 3, 3), "b3": 6}
    weights |= {"w4": (6, 2, 1, 1), "w5": (4, 12, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 4), fcb=5) == [
        "4: w1.0 w2.0",
        "3: w2.1 b2.0 w3.0 b3.0 w4.0 w5.1",
        "4: w5.0 fc.1",
    ]


def test_channels_given_to_a_constant_gather_are_counted_anew(law: Law) -> None:
    body = "a = Conv(x, w1)\ng = Gather<axis=1>(a, order)\nb = Conv(x, w2)\nlast = Add(g, b)\n"
    weights = {"w1": (6, 3, 1, 1), "order": ints(5, 3, 1, -2), "w2": (4, 3, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 4), fcb=5) == ["2: w1.0", "4: w1.0 w2.0 fc.1"]


def test_tile_and_expand_repeat_channels(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        t = Tile(a, repeats)
        b = Conv(t, w2)
        p = GlobalAveragePool(b)
        e = Expand(p, grown)
        last = Conv(e, w3)
    """
    weights = {"w1": (3, 3, 1, 1), "repeats": ints(1, 2, 1, 1), "w2": (4, 6, 1, 1), "w3": (4, 4, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, grown=ints(1, 4, 3, 3), fc=(5, 4), fcb=5) == [
        "3: w1.0 w2.1",
        "4: w2.0 w3.1",
        "4: w3.0 fc.1",
    ]


def test_a_part_with_one_channel_keeps_it(law: Law) -> None:
    body = "a = Conv(x, w1)\nl, r = Split<axis=1>(a, sizes)\nlast = Mul(l, r)\n" + HEAD
    weights = {"w1": (6, 3, 1, 1), "sizes": ints(1, 5), "fc": (5, 5), "fcb": 5}
    assert law(IMAGE, body, **weights) == ["5: w1.0 fc.1"]

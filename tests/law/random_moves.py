"""Random moves: each takes a value, adds legal nodes with random weights, and keeps what they make.

MOVES maps a kind of value to its moves; one that does not fit its value does nothing.
"""

from collections.abc import Callable

import numpy as np

from tests.law.build import ints
from tests.law.builder import FLAT, IMAGE, TOKENS, Builder, Shape, Value

Move = Callable[[Builder, Value], None]


# --- any kind ---------------------------------------------------------------------------------------

UNARY = ("Relu", "Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Softplus", "Abs", "Neg", "HardSwish",
         "Elu", "Softsign", "Identity", "Erf", "Dropout", "Mish", "Selu", "Cos")  # fmt: skip
BINARY = ("Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum")


def unary(b: Builder, x: Value) -> None:
    b.keep(b.node(f"{b.one_of(UNARY)}({x.name})", x.shape))


def affine(b: Builder, x: Value) -> None:
    scaled = b.node(f"Mul({x.name}, {b.scalar(0.7)})", x.shape)
    b.keep(b.node(f"{b.one_of(['Add', 'Sub'])}({b.scalar(0.3)}, {scaled.name})", x.shape))


def clip(b: Builder, x: Value) -> None:
    b.keep(b.node(f"Clip({x.name}, {b.scalar(-1)}, {b.scalar(2)})", x.shape))


def parameter(b: Builder, x: Value) -> None:
    """A bias, a gain or slopes for each channel."""
    shape = (x.channels, 1, 1) if len(x.shape) == IMAGE else (x.channels,)
    operator = b.one_of(["Add", "Mul", "PRelu"])
    b.keep(b.node(f"{operator}({x.name}, {b.weight(shape)})", x.shape))


def binary(b: Builder, x: Value) -> None:
    other = b.any_of(lambda v: v.shape == x.shape)
    assert other is not None
    b.keep(b.node(f"{b.one_of(BINARY)}({x.name}, {other.name})", x.shape))


def where(b: Builder, x: Value) -> None:
    bits = b.node(f"Greater({x.name}, {b.scalar(0)})", x.shape)
    half = b.node(f"Mul({x.name}, {b.scalar(0.5)})", x.shape)
    b.keep(b.node(f"Where({bits.name}, {x.name}, {half.name})", x.shape))


def channel_axis(x: Value) -> int:
    return 1 if len(x.shape) == IMAGE else len(x.shape)


def with_channels(x: Value, count: int) -> Shape:
    return (count, *x.shape[1:]) if len(x.shape) == IMAGE else (*x.shape[:-1], count)


def concat(b: Builder, x: Value) -> None:
    other = b.any_of(lambda v: with_channels(v, 1) == with_channels(x, 1) and len(v.shape) == len(x.shape))
    assert other is not None
    if x.channels + other.channels <= MOST:
        shape = with_channels(x, x.channels + other.channels)
        b.keep(b.node(f"Concat<axis={channel_axis(x)}>({x.name}, {other.name})", shape))


def split(b: Builder, x: Value) -> None:
    if x.channels < 4:
        return
    first = 1 + b.pick(x.channels - 1) if b.chance() else x.channels // 2
    sizes = b.weight(ints(first, x.channels - first), "i")
    parts = [Value(b.fresh("v"), with_channels(x, n)) for n in (first, x.channels - first)]
    names = ", ".join(part.name for part in parts)
    b.lines.append(f"{names} = Split<axis={channel_axis(x)}>({x.name}, {sizes})")
    b.pool.extend(parts)


def slice_(b: Builder, x: Value) -> None:
    if x.channels < 4:
        return
    start, step = b.pick(x.channels // 2), 1 + b.pick(2)
    end = b.one_of([x.channels, start + 2 + b.pick(x.channels - start - 1), 1000])
    count = len(range(x.channels)[start:end:step])
    negative = b.chance()
    bounds = [start - x.channels if negative else start, end, channel_axis(x), step]
    names = ", ".join(b.weight(ints(bound), "i") for bound in bounds)
    b.keep(b.node(f"Slice({x.name}, {names})", with_channels(x, count)))


def gather(b: Builder, x: Value) -> None:
    count = 2 + b.pick(x.channels)
    picks = [b.pick(x.channels) for _ in range(count)]
    b.keep(
        b.node(
            f"Gather<axis={channel_axis(x)}>({x.name}, {b.weight(ints(*picks), 'i')})",
            with_channels(x, count),
        )
    )


def pad(b: Builder, x: Value) -> None:
    before, after = b.pick(3), 1 + b.pick(2)
    rank, axis = len(x.shape) + 1, channel_axis(x)
    amounts = [0] * (2 * rank)
    amounts[axis], amounts[axis + rank] = before, after
    shape = with_channels(x, x.channels + before + after)
    b.keep(b.node(f"Pad({x.name}, {b.weight(ints(*amounts), 'i')})", shape))


def tile(b: Builder, x: Value) -> None:
    repeats = [1] * (len(x.shape) + 1)
    repeats[channel_axis(x)] = 2
    if 2 * x.channels <= MOST:
        b.keep(b.node(f"Tile({x.name}, {b.weight(ints(*repeats), 'i')})", with_channels(x, 2 * x.channels)))


def shuffle(b: Builder, x: Value) -> None:
    """Grid, transpose, flat again; the batch is -1 or 0."""
    groups = b.one_of([g for g in (1, 2, 3, 4) if x.channels % g == 0])
    batch, axis = b.one_of([-1, 0]), channel_axis(x)
    before, after = x.shape[: axis - 1], x.shape[axis:]
    grid = b.node(
        f"Reshape({x.name}, {b.weight(ints(batch, *before, groups, x.channels // groups, *after), 'i')})", ()
    )
    order = list(range(len(x.shape) + 2))
    order[axis], order[axis + 1] = order[axis + 1], order[axis]
    moved = b.node(f"Transpose<perm={order}>({grid.name})", ())
    flat = b.weight(ints(batch, *x.shape), "i")
    if b.chance():
        flat = b.node(f"Shape({x.name})", ()).name
    b.keep(b.node(f"Reshape({moved.name}, {flat})", x.shape))


def softmax(b: Builder, x: Value) -> None:
    b.keep(b.node(f"Softmax<axis={1 + b.pick(len(x.shape))}>({x.name})", x.shape))


def contract(b: Builder, x: Value) -> None:
    """A sum or norm over the channels, which then scales them."""
    axis = b.weight(ints(channel_axis(x)), "i")
    total = b.node(f"{b.one_of(['ReduceSum', 'ReduceL1', 'ReduceMean', 'ReduceMax'])}({x.name}, {axis})", ())
    bounded = b.node(f"Tanh({total.name})", ())
    b.keep(b.node(f"Mul({x.name}, {bounded.name})", x.shape))


MOST = 24  # channels
ANY: list[Move] = [
    *(unary, unary, affine, clip, parameter, parameter, binary, binary, binary, where, concat, concat, split),
    *(slice_, gather, pad, tile, shuffle, contract),
]


# --- images -----------------------------------------------------------------------------------------


def new_width(b: Builder) -> int:
    return b.one_of([4, 6, 8, 12])


def conv(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    groups = b.one_of([g for g in (1, 1, 2, 3, channels) if channels % g == 0])
    after = groups * max(1, new_width(b) // groups)
    kernel = b.one_of([1, 3]) if min(height, width) >= 3 else 1
    stride = 2 if b.pick(4) == 0 and min(height, width) >= 4 else 1
    arguments = [x.name, b.weight((after, channels // groups, kernel, kernel))]
    if b.chance():
        arguments.append(b.weight((after,)))
    edge = kernel // 2
    attributes = f"group={groups}, pads={[edge] * 4}, strides={[stride] * 2}"
    shape = (after, (height - 1) // stride + 1, (width - 1) // stride + 1)
    b.keep(b.node(f"Conv<{attributes}>({', '.join(arguments)})", shape))


def conv_transpose(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    if height > 8:
        return
    groups = b.one_of([g for g in (1, 1, 2, channels) if channels % g == 0])
    inner = max(1, new_width(b) // groups)
    arguments = [x.name, b.weight((channels, inner, 2, 2))]
    if b.chance():
        arguments.append(b.weight((groups * inner,)))
    call = f"ConvTranspose<group={groups}, strides=[2,2]>({', '.join(arguments)})"
    b.keep(b.node(call, (groups * inner, 2 * height, 2 * width)))


def batch_norm(b: Builder, x: Value) -> None:
    names = [b.weight((x.channels,), prefix) for prefix in ("w", "w", "w", "var")]
    b.keep(b.node(f"BatchNormalization({x.name}, {', '.join(names)})", x.shape))


def instance_norm(b: Builder, x: Value) -> None:
    if x.shape[1] > 2:
        names = [b.weight((x.channels,)) for _ in range(2)]
        b.keep(b.node(f"InstanceNormalization({x.name}, {', '.join(names)})", x.shape))


def pool(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    if min(height, width) >= 2:
        call = f"{b.one_of(['MaxPool', 'AveragePool'])}<kernel_shape=[2,2], strides=[2,2]>({x.name})"
        b.keep(b.node(call, (channels, height // 2, width // 2)))


def excite(b: Builder, x: Value) -> None:
    squeezed = b.node(f"GlobalAveragePool({x.name})", (x.channels, 1, 1))
    down = b.node(f"Conv({squeezed.name}, {b.weight((4, x.channels, 1, 1))})", (4, 1, 1))
    up = b.node(f"Conv({down.name}, {b.weight((x.channels, 4, 1, 1))})", squeezed.shape)
    gate = b.node(f"{b.one_of(['Sigmoid', 'HardSigmoid'])}({up.name})", squeezed.shape)
    b.keep(b.node(f"Mul({x.name}, {gate.name})", x.shape))


def resize(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    if height > 8:
        return
    shape = (channels, 2 * height, 2 * width)
    if b.chance():
        scales = b.weight(np.array([1, 1, 2, 2], np.float32), "c")
        b.keep(b.node(f'Resize<mode="nearest">({x.name}, , {scales})', shape))
        return
    front = b.node(f"Shape<end=2>({x.name})", ())
    sizes = b.node(f"Concat<axis=0>({front.name}, {b.weight(ints(2 * height, 2 * width), 'i')})", ())
    b.keep(b.node(f'Resize<mode="nearest">({x.name}, , , {sizes.name})', shape))


def pixel_shuffle(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    if channels % 4 == 0 and channels >= 8 and height <= 8:
        mode = b.one_of(["DCR", "CRD"])
        shape = (channels // 4, 2 * height, 2 * width)
        b.keep(b.node(f'DepthToSpace<blocksize=2, mode="{mode}">({x.name})', shape))


def pixel_unshuffle(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    if height % 2 == 0 and width % 2 == 0 and 4 * channels <= MOST:
        b.keep(b.node(f"SpaceToDepth<blocksize=2>({x.name})", (4 * channels, height // 2, width // 2)))


def group_norm(b: Builder, x: Value) -> None:
    if x.channels % 2 or x.shape[1] < 2:
        return
    grouped = b.node(f"Reshape({x.name}, {b.weight(ints(0, 2, -1), 'i')})", ())
    ones, zeros = (b.weight(np.full(2, n, np.float32), "c") for n in (1, 0))
    normal = b.node(f"InstanceNormalization({grouped.name}, {ones}, {zeros})", ())
    b.keep(b.node(f"Reshape({normal.name}, {b.node(f'Shape({x.name})', ()).name})", x.shape))


def to_flat(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    size = channels * height * width
    axes = b.weight(ints(2, 3), "i")
    forms = [f"ReduceMean<keepdims=0>({x.name}, {axes})", f"ReduceMax<keepdims=0>({x.name}, {axes})"]
    if size <= 256:
        target = b.one_of([(-1, size), (0, -1), (0, size)])
        forms += [f"Flatten({x.name})", f"Reshape({x.name}, {b.weight(ints(*target), 'i')})"]
    form = b.one_of(forms)
    b.keep(b.node(form, (channels,) if form.startswith("Reduce") else (size,)))


def to_tokens(b: Builder, x: Value) -> None:
    channels, height, width = x.shape
    target = b.one_of([(0, channels, -1), (0, 0, -1), (-1, channels, height * width)])
    flat = b.node(f"Reshape({x.name}, {b.weight(ints(*target), 'i')})", ())
    b.keep(b.node(f"Transpose<perm=[0,2,1]>({flat.name})", (height * width, channels)))


ON_IMAGES: list[Move] = [
    *(conv, conv, conv, conv, conv_transpose, batch_norm, instance_norm, pool, excite, resize, pixel_shuffle),
    *(pixel_unshuffle, group_norm, to_flat, to_tokens, softmax),
]


# --- tokens -----------------------------------------------------------------------------------------


def matmul(b: Builder, x: Value) -> None:
    after = new_width(b)
    b.keep(b.node(f"MatMul({x.name}, {b.weight((x.channels, after))})", (*x.shape[:-1], after)))


def behind_transpose(b: Builder, x: Value) -> None:
    after = new_width(b)
    turned = b.node(f"Transpose({b.weight((after, x.channels))})", ())
    b.keep(b.node(f"MatMul({x.name}, {turned.name})", (*x.shape[:-1], after)))


def layer_norm(b: Builder, x: Value) -> None:
    if x.channels > 2:
        names = [b.weight((x.channels,)) for _ in range(2)]
        b.keep(b.node(f"LayerNormalization({x.name}, {', '.join(names)})", x.shape))


def attention(b: Builder, x: Value) -> None:
    tokens, channels = x.shape
    heads, inner = b.one_of([(1, 4), (2, 3), (3, 2)])
    parts = []
    for _ in range(3):
        flat = b.node(f"MatMul({x.name}, {b.weight((channels, heads * inner))})", ())
        grid = b.node(f"Reshape({flat.name}, {b.weight(ints(0, tokens, heads, inner), 'i')})", ())
        parts.append(b.node(f"Transpose<perm=[0,2,1,3]>({grid.name})", ()).name)
    turned = b.node(f"Transpose<perm=[0,1,3,2]>({parts[1]})", ())
    scores = b.node(f"MatMul({parts[0]}, {turned.name})", ())
    weights = b.node(f"Softmax<axis=-1>({scores.name})", ())
    mixed = b.node(f"MatMul({weights.name}, {parts[2]})", ())
    back = b.node(f"Transpose<perm=[0,2,1,3]>({mixed.name})", ())
    joined = b.node(f"Reshape({back.name}, {b.weight(ints(0, 0, -1), 'i')})", (tokens, heads * inner))
    b.keep(joined)
    out = b.node(f"MatMul({joined.name}, {b.weight((heads * inner, channels))})", x.shape)
    b.keep(b.node(f"Add({x.name}, {out.name})", x.shape))


def mean_of_tokens(b: Builder, x: Value) -> None:
    b.keep(b.node(f"ReduceMean<keepdims=0>({x.name}, {b.weight(ints(1), 'i')})", (x.channels,)))


def one_token(b: Builder, x: Value) -> None:
    b.keep(b.node(f"Gather<axis=1>({x.name}, {b.weight(np.array(0), 'i')})", (x.channels,)))


def to_image(b: Builder, x: Value) -> None:
    tokens, channels = x.shape
    height = next(h for h in (4, 3, 2, 1) if tokens % h == 0)
    turned = b.node(f"Transpose<perm=[0,2,1]>({x.name})", ())
    shape = (channels, height, tokens // height)
    target = b.one_of([(0, channels, *shape[1:]), (-1, channels, *shape[1:]), (0, 0, height, -1)])
    b.keep(b.node(f"Reshape({turned.name}, {b.weight(ints(*target), 'i')})", shape))


ON_TOKENS: list[Move] = [
    *(
        matmul,
        matmul,
        behind_transpose,
        layer_norm,
        attention,
        attention,
        mean_of_tokens,
        one_token,
        to_image,
    ),
]


# --- flat -------------------------------------------------------------------------------------------


def gemm(b: Builder, x: Value) -> None:
    after = new_width(b)
    arguments = [x.name]
    if turned := b.chance():
        arguments.append(b.weight((after, x.channels)))
    else:
        arguments.append(b.weight((x.channels, after)))
    if b.chance():
        arguments.append(b.weight(b.one_of([(after,), (1, after), (1,)])))
    b.keep(b.node(f"Gemm<transB={int(turned)}>({', '.join(arguments)})", (after,)))


def norm_of_vector(b: Builder, x: Value) -> None:
    b.keep(b.node(f"LpNormalization<axis=-1>({x.name})", x.shape))


def flat_to_tokens(b: Builder, x: Value) -> None:
    if x.channels % 2 == 0 and x.channels >= 4:
        target = b.one_of([(0, 2, -1), (-1, 2, x.channels // 2), (0, -1, x.channels // 2)])
        b.keep(b.node(f"Reshape({x.name}, {b.weight(ints(*target), 'i')})", (2, x.channels // 2)))


def flat_to_image(b: Builder, x: Value) -> None:
    b.keep(b.node(f"Unsqueeze({x.name}, {b.weight(ints(2, 3), 'i')})", (x.channels, 1, 1)))


ON_FLAT: list[Move] = [gemm, gemm, gemm, norm_of_vector, flat_to_tokens, flat_to_image]
MOVES: dict[int, list[Move]] = {IMAGE: ANY + ON_IMAGES, TOKENS: ANY + ON_TOKENS, FLAT: ANY + ON_FLAT}
MIXES: dict[int, Move] = {IMAGE: conv, TOKENS: matmul, FLAT: gemm}
STARTS: list[Shape] = [(3, 8, 8), (6, 8), (8,)]

"""Random moves on images."""

import numpy as np

from tests.law.build import ints
from tests.law.builder import Builder, Value
from tests.law.moves_any import MOST, Move, new_width, softmax


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


def channels_last(b: Builder, x: Value) -> None:
    """A norm, or an inverted bottleneck, between two Transposes."""
    turned = b.node(f"Transpose<perm=[0,2,3,1]>({x.name})", ())
    if b.chance() and x.channels > 2:
        names = [b.weight((x.channels,)) for _ in range(2)]
        inner = b.node(f"LayerNormalization({turned.name}, {', '.join(names)})", ())
        after = x.channels
    else:
        after = new_width(b)
        wide = b.node(f"MatMul({turned.name}, {b.weight((x.channels, 10))})", ())
        bent = b.node(f"Gelu({b.node(f'Add({wide.name}, {b.weight((10,))})', ()).name})", ())
        inner = b.node(f"MatMul({bent.name}, {b.weight((10, after))})", ())
    b.keep(b.node(f"Transpose<perm=[0,3,1,2]>({inner.name})", (after, *x.shape[1:])))


def spread(b: Builder, x: Value) -> None:
    """The mean of each channel, expanded to the extents of a value."""
    means = b.node(f"ReduceMean<keepdims=0>({x.name}, {b.weight(ints(2, 3), 'i')})", ())
    places = b.node(f"Unsqueeze({means.name}, {b.weight(ints(2, 3), 'i')})", ())
    b.keep(b.node(f"Expand({places.name}, {b.node(f'Shape({x.name})', ()).name})", x.shape))


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
    *(pixel_unshuffle, group_norm, channels_last, channels_last, spread, to_flat, to_tokens, softmax),
]

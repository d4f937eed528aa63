"""Extents of operators that join, cut and rearrange axes."""

from collections.abc import Iterator

from onnxprune.verification.extents import (
    NodeExtents,
    Rule,
    Shape,
    broadcast,
    expect,
    expect_out,
    positive,
    size,
)


def concat(node: NodeExtents) -> Iterator[str]:
    """The other axes agree; the extents along the axis add up."""
    shapes = [shape for shape in node.ins if shape is not None]
    if len(shapes) < len(node.ins) or not shapes:
        return
    axis = positive(int(node.node.attr("axis", 1)), len(shapes[0]))
    for slot, shape in enumerate(shapes):
        if len(shape) != len(shapes[0]) or any(
            a != b for i, (a, b) in enumerate(zip(shape, shapes[0], strict=True)) if i != axis
        ):
            yield f"input {slot} has extents {shape}, input 0 {shapes[0]}; only axis {axis} may differ"
            return
    first = shapes[0]
    yield from expect_out(node, (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :]))


def split(node: NodeExtents) -> Iterator[str]:
    """The parts add up to the axis."""
    data = node.given(0)
    if data is None:
        return
    axis = positive(int(node.node.attr("axis", 0)), len(data))
    sizes = node.ints("split", 1)
    if sizes is None:
        if node.has(1):
            return
        count = len(node.outs)
        if data[axis] % count and "num_outputs" not in node.node.attributes:
            yield f"extent {data[axis]} of axis {axis} is not divisible into {count} parts"
            return
        step = -(-data[axis] // count)
        sizes = [max(0, min(step, data[axis] - i * step)) for i in range(count)]
    if sum(sizes) != data[axis] or len(sizes) != len(node.outs):
        yield f"{len(node.outs)} outputs of sizes {sizes} do not add up to extent {data[axis]} of axis {axis}"
        return
    for index, part in enumerate(sizes):
        yield from expect_out(node, (*data[:axis], part, *data[axis + 1 :]), index)


def reshape(node: NodeExtents) -> Iterator[str]:
    """As many elements after as before."""
    data, target = node.given(0), node.ints("shape", 1)
    if data is None:
        return
    if target is not None:
        wanted = list(target)
        if not node.node.attr("allowzero", 0):
            wanted = [data[i] if n == 0 and i < len(data) else n for i, n in enumerate(target)]
        rest = size(tuple(n for n in wanted if n != -1))
        if (-1 in wanted and (rest == 0 or size(data) % rest)) or (-1 not in wanted and rest != size(data)):
            yield f"{size(data)} elements {data} do not fit the target {target}"
            return
        yield from expect_out(node, tuple(size(data) // rest if n == -1 else n for n in wanted))
    out = node.out()
    if out is not None:
        yield from expect("elements of the output", size(out), size(data))


def flatten(node: NodeExtents) -> Iterator[str]:
    data = node.given(0)
    if data is not None:
        axis = int(node.node.attr("axis", 1))
        axis = axis + len(data) if axis < 0 else axis
        yield from expect_out(node, (size(data[:axis]), size(data[axis:])))


def transpose(node: NodeExtents) -> Iterator[str]:
    data = node.given(0)
    if data is None:
        return
    order = list(node.node.attr("perm", range(len(data))[::-1]))
    if sorted(order) != list(range(len(data))):
        yield f"perm {order} is no order of {len(data)} axes"
    else:
        yield from expect_out(node, tuple(data[axis] for axis in order))


def squeeze(node: NodeExtents) -> Iterator[str]:
    """Only axes of extent 1 vanish."""
    data, axes = node.given(0), node.ints("axes", 1)
    if data is None or (axes is None and node.has(1)):
        return
    gone = [positive(a, len(data)) for a in axes or ()]
    if axes is None:
        gone = [i for i, n in enumerate(data) if n == 1]
    wide = [axis for axis in gone if axis >= len(data) or data[axis] != 1]
    if wide:
        yield f"removes axis {wide[0]} of {data}, whose extent is not 1"
    else:
        yield from expect_out(node, tuple(n for i, n in enumerate(data) if i not in gone))


def unsqueeze(node: NodeExtents) -> Iterator[str]:
    data, axes = node.given(0), node.ints("axes", 1)
    if data is None or axes is None:
        return
    rank = len(data) + len(axes)
    new = {positive(axis, rank) for axis in axes}
    left = iter(data)
    yield from expect_out(node, tuple(1 if i in new else next(left, 0) for i in range(rank)))


def expand(node: NodeExtents) -> Iterator[str]:
    data, target = node.given(0), node.numbers(1)
    if data is None or target is None:
        return
    common = broadcast(data, tuple(target))
    if common is None:
        yield f"extents {data} do not broadcast to the target {target}"
    else:
        yield from expect_out(node, common)


def tile(node: NodeExtents) -> Iterator[str]:
    data, repeats = node.given(0), node.numbers(1)
    if data is None or repeats is None:
        return
    if len(repeats) != len(data):
        yield f"{len(repeats)} repeats for {len(data)} axes"
    else:
        yield from expect_out(node, tuple(n * r for n, r in zip(data, repeats, strict=True)))


def slice_(node: NodeExtents) -> Iterator[str]:
    """What the bounds leave of each axis."""
    data = node.given(0)
    starts, ends = node.ints("starts", 1), node.ints("ends", 2)
    axes, steps = node.ints("axes", 3), node.ints("steps", 4)
    if data is None or starts is None or ends is None:
        return
    if (axes is None and node.has(3)) or (steps is None and node.has(4)):
        return
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        yield f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes, {len(steps)} steps"
        return
    left = list(data)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where = positive(axis, len(data))
        left[where] = len(range(*slice(start, end, step).indices(data[where])))
    yield from expect_out(node, tuple(left))


def pad(node: NodeExtents) -> Iterator[str]:
    data = node.given(0)
    pads = node.ints("paddings" if "paddings" in node.node.attributes else "pads", 1)
    axes = node.numbers(3) if node.has(3) else None
    if data is None or pads is None or (axes is None and node.has(3)):
        return
    where = list(range(len(data))) if axes is None else [positive(a, len(data)) for a in axes]
    if len(pads) != 2 * len(where):
        yield f"{len(pads)} pads for {len(where)} axes"
        return
    out = list(data)
    for place, axis in enumerate(where):
        out[axis] += pads[place] + pads[place + len(where)]
    yield from expect_out(node, tuple(out))


def gather(node: NodeExtents) -> Iterator[str]:
    """Constant indices lie inside the axis."""
    data, indices = node.given(0), node.given(1)
    if data is None or indices is None:
        return
    axis = positive(int(node.node.attr("axis", 0)), len(data))
    yield from inside(node, data[axis], axis)
    yield from expect_out(node, (*data[:axis], *indices, *data[axis + 1 :]))


def gather_elements(node: NodeExtents) -> Iterator[str]:
    data, indices = node.given(0), node.given(1)
    if data is None or indices is None:
        return
    axis = positive(int(node.node.attr("axis", 0)), len(data))
    yield from inside(node, data[axis], axis)
    for i, (n, m) in enumerate(zip(data, indices, strict=False)):
        if i != axis and m > n:
            yield f"indices have extent {m} along axis {i}, the input {n}"
    yield from expect_out(node, indices)


def inside(node: NodeExtents, extent: int, axis: int) -> Iterator[str]:
    wrong = [i for i in node.numbers(1) or [] if not -extent <= i < extent]
    if wrong:
        yield f"index {wrong[0]} lies outside axis {axis} of extent {extent}"


def gather_nd(node: NodeExtents) -> Iterator[str]:
    data, indices, batch = node.given(0), node.given(1), int(node.node.attr("batch_dims", 0))
    if data is None or indices is None or not indices:
        return
    depth = indices[-1]
    if depth + batch > len(data):
        yield f"indexes {depth} axes after {batch} of an input with {len(data)}"
        return
    yield from expect("batch extents", indices[:batch], data[:batch])
    places = node.numbers(1) or []
    for number, index in enumerate(places):
        extent = data[batch + number % depth]
        if not -extent <= index < extent:
            yield f"index {index} lies outside axis {batch + number % depth} of extent {extent}"
            break
    yield from expect_out(node, (*indices[:-1], *data[batch + depth :]))


def depth_to_space(node: NodeExtents) -> Iterator[str]:
    data, block = node.given(0), int(node.node.attr("blocksize", 1))
    if data is None:
        return
    if data[1] % block**2:
        yield f"{data[1]} channels are not divisible by {block} x {block}"
    else:
        n, c, h, w = data
        yield from expect_out(node, (n, c // block**2, h * block, w * block))


def space_to_depth(node: NodeExtents) -> Iterator[str]:
    data, block = node.given(0), int(node.node.attr("blocksize", 1))
    if data is None:
        return
    n, c, h, w = data
    if h % block or w % block:
        yield f"{h} x {w} is not divisible by {block}"
    else:
        yield from expect_out(node, (n, c * block**2, h // block, w // block))


def resize(node: NodeExtents) -> Iterator[str]:
    """Sizes, where they are given, are those of the output."""
    data, sizes = node.given(0), node.numbers(3) if node.has(3) else None
    stretched = node.node.attr("keep_aspect_ratio_policy", "stretch") == "stretch"
    if data is None or sizes is None or not stretched:
        return
    axes = [positive(a, len(data)) for a in node.node.attr("axes", range(len(data)))]
    if len(sizes) != len(axes):
        yield f"{len(sizes)} sizes for {len(axes)} axes"
        return
    expected: Shape = tuple(sizes[axes.index(i)] if i in axes else n for i, n in enumerate(data))
    yield from expect_out(node, expected)
    coordinates = str(node.node.attr("coordinate_transformation_mode", ""))
    if len(data) > 2 and sizes and 1 in axes and coordinates != "tf_crop_and_resize":
        grown = expected[1] != data[1]
        same = all(expected[i] == n for i, n in enumerate(data) if i > 1)
        if grown and same:
            yield f"resizes {data[1]} channels to {expected[1]} and nothing else"


LAYOUT: dict[tuple[str, str], Rule] = {
    ("", "Concat"): concat,
    ("", "Split"): split,
    ("", "Reshape"): reshape,
    ("", "Flatten"): flatten,
    ("", "Transpose"): transpose,
    ("", "Squeeze"): squeeze,
    ("", "Unsqueeze"): unsqueeze,
    ("", "Expand"): expand,
    ("", "Tile"): tile,
    ("", "Slice"): slice_,
    ("", "Pad"): pad,
    ("", "Gather"): gather,
    ("", "GatherElements"): gather_elements,
    ("", "GatherND"): gather_nd,
    ("", "DepthToSpace"): depth_to_space,
    ("", "SpaceToDepth"): space_to_depth,
    ("", "Resize"): resize,
}

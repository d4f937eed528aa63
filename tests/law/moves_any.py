"""Random moves on values of any kind: legal nodes with random weights, whose results join the pool."""

from collections.abc import Callable

from tests.law.build import ints
from tests.law.builder import IMAGE, Builder, Shape, Value

Move = Callable[[Builder, Value], None]

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


def new_width(b: Builder) -> int:
    return b.one_of([4, 6, 8, 12])


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

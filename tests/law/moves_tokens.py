"""Random moves on tokens and on flat values."""

import numpy as np

from tests.law.build import ints
from tests.law.builder import Builder, Value
from tests.law.moves_any import Move, new_width


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

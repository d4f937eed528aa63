"""Extents of recurrent operators and of fused attention."""

from collections.abc import Iterator

from onnxprune.verification.extents import NodeExtents, Rule, Shape, expect


def recurrent(gates: int) -> Rule:
    """X (..., input), W (d, gates*h, input), R (d, gates*h, h), B (d, 2*gates*h), states (..., h)."""

    def check(node: NodeExtents) -> Iterator[str]:
        known = node.known(0, 1, 2)
        if known is None:
            return
        data, weight, recurrence = known
        hidden = recurrence[2]
        directions = 2 if node.node.attr("direction", "forward") == "bidirectional" else 1
        yield from expect("input size of W", weight[2], data[2])
        yield from expect("W", weight[:2], (directions, gates * hidden))
        yield from expect("R", recurrence, (directions, gates * hidden, hidden))
        yield from expect("hidden_size", int(node.node.attr("hidden_size", hidden)), hidden)
        bias, peepholes = node.given(3), node.given(7)
        if bias is not None:
            yield from expect("B", bias, (directions, 2 * gates * hidden))
        if peepholes is not None:
            yield from expect("P", peepholes, (directions, 3 * hidden))
        for slot in (5, 6):
            state = node.given(slot)
            if state is not None:
                yield from expect(f"initial state {slot}", state[-1], hidden)
        for index, out in enumerate(node.outs):
            if out is not None:
                yield from expect(f"output {index}", out[-1], hidden)

    return check


def attention(node: NodeExtents) -> Iterator[str]:
    """Q, K, V with axes (batch, heads, sequence, size) or (batch, sequence, heads * size)."""
    known = node.known(0, 1, 2)
    if known is None:
        return
    q, k, v = known
    if len(q) == 4:
        heads, kv_heads, sizes = q[1], k[1], (q[3], k[3])
        yield from expect("heads of V", v[1], kv_heads)
    else:
        heads, kv_heads = (int(node.node.attr(f"{name}_num_heads", 1)) for name in ("q", "kv"))
        faults = [*divides("Q", q[-1], heads), *divides("K", k[-1], kv_heads), *divides("V", v[-1], kv_heads)]
        yield from faults
        if faults:
            return
        sizes = q[-1] // heads, k[-1] // kv_heads
    yield from expect("head size of K", sizes[1], sizes[0])
    yield from divides("heads of Q over heads of K:", heads, kv_heads)


def divides(what: str, extent: int, parts: int) -> Iterator[str]:
    if parts < 1 or extent % parts:
        yield f"{what} {extent} is not divisible by {parts}"


def multi_head_attention(node: NodeExtents) -> Iterator[str]:
    """com.microsoft: query (batch, sequence, hidden), key, value alike, bias of all three."""
    query, heads = node.given(0), int(node.node.attr("num_heads", 1))
    if query is None or len(query) != 3:
        return
    yield from divides("hidden extent", query[2], heads)
    key, value, bias = node.given(1), node.given(2), node.given(3)
    if key is not None and len(key) == 3:
        yield from expect("key", key[2], query[2])
    if value is not None and len(value) == 3:
        yield from divides("value extent", value[2], heads)
        if bias is not None:
            yield from expect("bias", bias, (2 * query[2] + value[2],))


def packed_attention(node: NodeExtents) -> Iterator[str]:
    """com.microsoft: input (batch, sequence, in), weights (in, q + k + v), bias (q + k + v)."""
    known, heads = node.known(0, 1), int(node.node.attr("num_heads", 1))
    if known is None:
        return
    data, weights = known
    if data[-1] != weights[0]:
        yield f"input has {data[-1]} features, weight expects {weights[0]}"
    bias = node.given(2)
    if bias is not None:
        yield from expect("bias", bias, weights[1:])
    sizes = node.node.attr("qkv_hidden_sizes") or thirds(weights)
    yield from expect("columns of the weight", weights[1], sum(sizes))
    for extent in sizes:
        yield from divides("hidden extent", extent, heads)


def thirds(weights: Shape) -> list[int]:
    return [weights[1] // 3] * 3


RECURRENT: dict[tuple[str, str], Rule] = {
    ("", "RNN"): recurrent(1),
    ("", "GRU"): recurrent(3),
    ("", "LSTM"): recurrent(4),
    ("", "Attention"): attention,
    ("com.microsoft", "MultiHeadAttention"): multi_head_attention,
    ("com.microsoft", "Attention"): packed_attention,
}

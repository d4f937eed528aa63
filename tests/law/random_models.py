"""Random models for hypothesis: random moves on what two contractions make of the input, and a head."""

from collections.abc import Callable

from hypothesis import strategies as st
from onnx import ModelProto

from tests.law.build import model
from tests.law.builder import FLAT, IMAGE, TOKENS, Builder, Shape, Value
from tests.law.decorations import decorate
from tests.law.moves_any import ANY, Move
from tests.law.moves_image import ON_IMAGES, conv
from tests.law.moves_tokens import ON_FLAT, ON_TOKENS, gemm, matmul

MOVES: dict[int, list[Move]] = {IMAGE: ANY + ON_IMAGES, TOKENS: ANY + ON_TOKENS, FLAT: ANY + ON_FLAT}
MIXES: dict[int, Move] = {IMAGE: conv, TOKENS: matmul, FLAT: gemm}
STARTS: list[Shape] = [(3, 8, 8), (6, 8), (8,)]


def head(b: Builder, x: Value) -> Value:
    """A contraction of everything that may still carry channels."""
    if len(x.shape) == IMAGE:
        b.keep(b.node(f"Conv({x.name}, {b.weight((3, x.channels, 1, 1))})", (3, *x.shape[1:])))
    else:
        b.keep(b.node(f"MatMul({x.name}, {b.weight((x.channels, 3))})", (*x.shape[:-1], 3)))
    return b.pool[-1]


@st.composite
def random_models(draw: st.DrawFn, *, moves: int = 14, decorated: bool = False) -> ModelProto:
    """Models of up to `moves` moves, with one or two outputs; `decorated`: their constants written anyhow."""

    def pick(count: int) -> int:
        return draw(st.integers(0, count - 1))

    made = random_model(pick, moves=draw(st.integers(2, moves)))
    return decorate(made, pick) if decorated else made


def dims(shape: Shape, free: int) -> str:
    """The batch is always free; `free` 1: so is everything but the channels."""
    channels = 0 if len(shape) == IMAGE else len(shape) - 1
    known = (str(n) if axis == channels or not free else f"D{n}" for axis, n in enumerate(shape))
    return ", ".join(["N", *known])


def random_model(pick: Callable[[int], int], *, moves: int) -> ModelProto:
    """A model of so many moves; `pick(n)` decides everything."""
    start = STARTS[pick(len(STARTS))]
    b = Builder(pick, [Value("x", start)])
    for _ in range(2):
        MIXES[len(start)](b, b.pool[0])
    if pick(4):  # what meets the input cannot change
        b.pool = b.pool[1:]
    for _ in range(moves):
        value = b.any_of(lambda _: True)
        assert value is not None
        b.one_of(MOVES[len(value.shape)])(b, value)
    ends = [head(b, value) for value in dict.fromkeys([b.pool[-1], b.pool[-1 - b.pick(len(b.pool))]])]
    free = pick(2)  # whether the file tells the extents of space or the number of tokens
    outputs = ", ".join(f"float[{dims(v.shape, free)}] {v.name}" for v in ends)
    signature = f"float[{dims(start, free)}] x => {outputs}"
    return model(signature, "\n".join(b.lines), opset=20, ir=9, **b.weights)

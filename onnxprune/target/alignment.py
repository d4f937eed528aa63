"""Channel counts that the kernels of a runtime like.

A count that is no multiple of the hard step falls out of the blocked kernels. The preferred step is the block
itself: between its multiples time does not fall. Time of MobileNetV2 (224x224) at 75 % of its MACs, uniform
l2, on one thread of a processor with AVX-512, where the block is 16:

    every count 1.67 · multiples of 8 0.84 · of 16 0.79 · of 16, but 4 and 8 in narrow groups 0.80 to 0.90

So the block is the step wherever the target can be met so with room to choose; where it cannot, narrow groups
step finer (`finer`, used by `settle`).
"""

import platform
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from onnxprune.errors import UsageError

AVX512 = {"AVX512F", "AVX512_SKX", "X86_V4"}  # as numpy names it, by version
ARM = {"arm64", "aarch64", "armv7l", "armv8l"}


@dataclass(frozen=True)
class Alignment:
    """Steps of physical channel extents.

    Attributes:
        hard: Extents are multiples of this wherever they are not narrower.
        preferred: The step that a kernel computes at once.
        choices: The preferred step is halved, not below the hard one, while it leaves fewer counts than this.
        why: The provider or processor that it was chosen for.
    """

    hard: int
    preferred: int
    choices: int = 1
    why: str = ""

    def step(self, extent: int) -> int:
        """The step of an axis with this extent.

        An axis narrower than the step halves it as often as it must (8, 4, 2, 1).

        >>> [Alignment(4, 16).step(n) for n in (3, 6, 16, 24, 32, 64)]
        [2, 4, 16, 16, 16, 16]
        >>> [Alignment(4, 16, choices=2).step(n) for n in (3, 6, 16, 24, 32, 64)]
        [2, 4, 8, 8, 16, 16]
        """
        step = self.preferred
        while step // 2 >= self.hard and extent < self.choices * step:
            step //= 2
        while step > max(1, extent):
            step //= 2
        return max(1, step)

    def finer(self) -> "Alignment | None":
        """The next finer one; None where every step is the hard one already.

        >>> str(Alignment(4, 16).finer()), Alignment(4, 16, choices=4).finer(), Alignment(8, 8).finer()
        ('4 to 16', Alignment(hard=4, preferred=4, choices=1, why=''), None)
        """
        if self.hard == self.preferred:
            return None
        if self.choices * 2 > MOST_CHOICES:
            return replace(self, preferred=self.hard, choices=1)
        return replace(self, choices=self.choices * 2)

    def __str__(self) -> str:
        return str(self.hard) if self.hard == self.preferred else f"{self.hard} to {self.preferred}"


MOST_CHOICES = 4
EIGHT = 8, 8
PROFILES = {
    "cuda": EIGHT,
    "tensorrt": EIGHT,
    "nvtensorrtrtx": EIGHT,
    "xnnpack": (4, 8),
    "tensorrt-int8": (32, 32),
    "nvtensorrtrtx-int8": (32, 32),
}
SUFFIX = "executionprovider"
# The execution providers of ONNX Runtime, short; one that is newer has its full name.
DEVICES = (
    *("auto", "cpu", "cuda", "tensorrt", "nvtensorrtrtx", "xnnpack", "openvino", "dnnl", "coreml", "dml"),
    *("qnn", "nnapi", "migraphx", "rocm", "vitisai", "cann", "acl", "armnn", "rknpu", "vsinpu", "snpe"),
    *("js", "webgpu", "webnn", "tvm", "azure"),
)


def resolve_align(align: str, *, provider: str = "cpu", int8: bool = False) -> Alignment:
    """The alignment that a user asks for.

    >>> str(resolve_align("auto", provider="CUDAExecutionProvider"))
    '8'

    Args:
        align: "auto", or a number of channels; 1 switches alignment off.
        provider: Execution provider that will run the model, long or short name.
        int8: The model runs quantised there.

    Raises:
        UsageError: E201, no provider has that name; E202, neither "auto" nor a number above zero.
    """
    require_device(provider)
    if align == "auto":
        return automatic(provider.lower().removesuffix(SUFFIX), int8=int8)
    if not align.isdecimal() or not int(align):
        raise UsageError("E202", f"align {align!r}: must be auto or a number of channels, such as 8")
    return Alignment(int(align), int(align), why="as asked")


def require_device(name: str) -> None:
    """Raises: UsageError: E201, it is neither a provider's short name nor a full one."""
    word = name.lower()
    if word in DEVICES or word in PROFILES or (word.endswith(SUFFIX) and word != SUFFIX):
        return
    near = ["cuda"] if word == "gpu" else get_close_matches(word, DEVICES, n=1)
    raise UsageError(
        "E201",
        f"--device {name}: no execution provider has that name"
        + (f"; did you mean {near[0]}?" if near else ""),
        hint=f"{', '.join(DEVICES)}; or a full name",
    )


def automatic(provider: str, *, int8: bool) -> Alignment:
    if provider in ("cpu", "auto"):
        return for_processor()
    hard, preferred = PROFILES.get(f"{provider}-int8" if int8 else provider, EIGHT)
    return Alignment(hard, preferred, why=provider)


def for_processor() -> Alignment:
    """ONNX Runtime's CPU provider packs channels in blocks as wide as a vector register."""
    if platform.machine().lower() in ARM:
        return Alignment(4, 8, why="ARM")
    if AVX512 & vector_extensions():
        return Alignment(4, 16, why="AVX-512")
    return Alignment(4, 8, why="AVX2")


def vector_extensions() -> set[str]:
    """Vector instructions of this processor that numpy found."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return {*extensions.get("baseline", ()), *extensions.get("found", ())}

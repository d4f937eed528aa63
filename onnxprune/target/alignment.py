"""Channel counts that the kernels of a runtime like.

A count that is no multiple of the hard step falls out of the blocked kernels: MobileNetV2 with 92 % of its
MACs in unaligned widths took 192 % of the time on ONNX Runtime's CPU provider. The preferred step is the
block itself: between its multiples time does not fall. docs/benchmarks.md has the measurements.
"""

import platform
from dataclasses import dataclass

import numpy as np

from onnxprune.errors import UsageError

LEAST_RUNGS = 2  # counts that a group should be able to choose from before the preferred step pays
AVX512 = {"AVX512F", "AVX512_SKX", "X86_V4"}  # as numpy names it, by version
ARM = {"arm64", "aarch64", "armv7l", "armv8l"}


@dataclass(frozen=True)
class Alignment:
    """Steps of physical channel extents.

    Attributes:
        hard: Extents are multiples of this wherever they are not narrower.
        preferred: The step of groups that are wide enough to choose between several.
        why: The provider or processor that it was chosen for.
    """

    hard: int
    preferred: int
    why: str = ""

    def step(self, extent: int) -> int:
        """The step of an axis with this extent.

        The preferred step is halved, not below the hard one, while it leaves fewer than two counts to
        choose from; an axis narrower than its step halves it further (8, 4, 2, 1).

        >>> [Alignment(4, 16).step(n) for n in (2, 6, 16, 24, 32, 64)]
        [2, 4, 8, 8, 16, 16]
        """
        step = self.preferred
        while step // 2 >= self.hard and extent < LEAST_RUNGS * step:
            step //= 2
        while step > max(1, extent):
            step //= 2
        return max(1, step)

    def __str__(self) -> str:
        return str(self.hard) if self.hard == self.preferred else f"{self.hard} to {self.preferred}"


EIGHT = 8, 8
PROFILES = {
    "cuda": EIGHT,
    "tensorrt": EIGHT,
    "nvtensorrtrtx": EIGHT,
    "xnnpack": (4, 8),
    "tensorrt-int8": (32, 32),
    "nvtensorrtrtx-int8": (32, 32),
}


def resolve_align(align: str, *, provider: str = "cpu", int8: bool = False) -> Alignment:
    """The alignment that a user asks for.

    >>> str(resolve_align("auto", provider="CUDAExecutionProvider"))
    '8'

    Args:
        align: "auto", or a number of channels; 1 switches alignment off.
        provider: Execution provider that will run the model, long or short name.
        int8: The model runs quantised there.

    Raises:
        UsageError: E202, neither "auto" nor a number above zero.
    """
    if align == "auto":
        return automatic(provider.lower().removesuffix("executionprovider"), int8=int8)
    if not align.isdecimal() or not int(align):
        raise UsageError("E202", f"align {align!r}: must be auto or a number of channels, such as 8")
    return Alignment(int(align), int(align), "as asked")


def automatic(provider: str, *, int8: bool) -> Alignment:
    if provider in ("cpu", "auto"):
        return for_processor()
    hard, preferred = PROFILES.get(f"{provider}-int8" if int8 else provider, EIGHT)
    return Alignment(hard, preferred, provider)


def for_processor() -> Alignment:
    """ONNX Runtime's CPU provider packs channels in blocks as wide as a vector register."""
    if platform.machine().lower() in ARM:
        return Alignment(4, 8, "ARM")
    if AVX512 & vector_extensions():
        return Alignment(4, 16, "AVX-512")
    return Alignment(4, 8, "AVX2")


def vector_extensions() -> set[str]:
    """Vector instructions of this processor that numpy found."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return {*extensions.get("baseline", ()), *extensions.get("found", ())}

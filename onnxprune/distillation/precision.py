"""In which numbers the forward passes compute, and on which device."""

import re
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from onnxprune.distillation.options import Precision
from onnxprune.errors import RuntimeProblem, UsageError
from onnxprune.hardware import has_bfloat16

DEVICES = re.compile(r"cpu|cuda(:\d{1,2})?")
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Arithmetic:
    """Device, and type of the forward passes; weights and optimizer are float32 in any case."""

    device: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager[object]:
        dtype = HALF.get(self.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Keeps small fp16 gradients from vanishing; does nothing for other types."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")


def choose_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        UsageError: E201, no such device.
        RuntimeProblem: E601, CUDA was asked for and is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not DEVICES.fullmatch(name):
        raise UsageError("E201", f"--device {name!r}: there are auto, cpu, cuda and cuda:1")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeProblem("E601", f"--device {name}: torch finds no CUDA", hint="--device cpu")
    return device


def choose_precision(wanted: Precision, device: torch.device) -> str:
    """The precision asked for, or what the device computes fastest in."""
    if wanted != "auto":
        return wanted
    if has_bfloat16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile finds the compiler that it needs."""
    if device.type == "cuda":
        return torch.utils._triton.has_triton()
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))

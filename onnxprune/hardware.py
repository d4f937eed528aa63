"""What a device of torch computes by itself, and what it only emulates."""

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware: emulated it takes ten times as long as float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    knows = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and knows is not None and bool(knows())

"""What must know whether it runs under `torch.func.vmap`."""

import torch
from torch import Tensor


def is_mapped(*tensors: Tensor) -> bool:
    """Whether vmap goes over one of them: some of torch's kernels have no rule for it."""
    # torch has no public question for this
    return any(torch._C._functorch.is_batchedtensor(tensor) for tensor in tensors)

"""Several processes that train one student, started by torchrun.

Each takes every size-th row of a batch; gradients are averaged, so that a step is that of one process with
the whole batch. Order and augmentation come from seed, epoch and row, never from the process.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from onnxprune.errors import UsageError


@dataclass(frozen=True)
class Crew:
    """The processes of a run; one alone needs none of this.

    Attributes:
        rank: Of this process; 0 writes files and talks.
        size: Processes.
        local_rank: On this machine: the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether a process raised it."""
        if self.size == 1:
            return flags
        raised = self._tensor([float(flag) for flag in flags])
        distributed.all_reduce(raised, distributed.ReduceOp.MAX)
        return tuple(bool(value) for value in raised.tolist())

    def mean(self, value: float) -> float:
        """Mean of the processes' values."""
        if self.size == 1:
            return value
        total = self._tensor([value])
        distributed.all_reduce(total)
        return float(total) / self.size

    def from_leader(self, value: float) -> float:
        """The leader's value, for decisions that all must take alike."""
        if self.size == 1:
            return value
        shared = self._tensor([value])
        distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def joined(self, runner: Callable[..., Any]) -> Callable[..., Any]:
        """A module whose gradients are averaged over the processes.

        All its parameters must take part in every forward pass. Its buffers never change.
        """
        if self.size == 1:
            return runner
        assert isinstance(runner, nn.Module)
        names = [name for name, _ in runner.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(runner, names)
        devices = [self.local_rank] if distributed.get_backend() == "nccl" else None
        return DistributedDataParallel(runner, device_ids=devices)

    def _tensor(self, values: list[float]) -> Tensor:
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        return torch.tensor(values, dtype=torch.float64, device=device)


ALONE = Crew()


@contextmanager
def crew_of_environment(device: str) -> Iterator[Crew]:
    """The crew that torchrun's variables name, connected by gloo on CPUs, by nccl on GPUs.

    Args:
        device: auto, cpu or cuda.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size <= 1 or distributed.is_initialized():
        yield ALONE if size <= 1 else current_crew()
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield current_crew()
        distributed.barrier()  # a process that ends earlier may take the others' connections with it
    finally:
        distributed.destroy_process_group()


def current_crew() -> Crew:
    """The crew of the process group that exists; one process alone without one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return Crew(distributed.get_rank(), distributed.get_world_size(), local)


def check_batch(crew: Crew, batch: int) -> None:
    """Raises: UsageError: E201, a batch that the processes cannot share evenly."""
    if batch % crew.size:
        raise UsageError(
            "E201",
            f"--batch {batch} is not a multiple of the {crew.size} processes",
            hint=f"--batch {max(1, batch // crew.size) * crew.size}",
        )

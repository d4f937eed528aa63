"""Timing several things fairly: interleaved, so that whatever else the machine does hits all alike."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], None]
Elapsed = Callable[[float, float], None]  # seconds done, seconds in all
Times = NDArray[np.float64]

CPU_CLOCK_IS_FINE = time.get_clock_info("process_time").resolution < 1e-5  # not on Windows: 16 ms


@dataclass(frozen=True)
class Protocol:
    """How long, and how often.

    Args:
        warmup_ms: Of each model before anything counts.
        warmup_runs: At least so many.
        duration_s: Of all counted runs together, at least.
        min_runs: Of each model, at least.
    """

    warmup_ms: float = 200.0
    warmup_runs: int = 5
    duration_s: float = 3.0
    min_runs: int = 30


@dataclass(frozen=True, eq=False)
class Timed:
    """Milliseconds of each run, in order; two runs a cycle.

    Args:
        wall_ms: By the clock, (runs,).
        cpu_ms: Processor time of the whole process, (runs,); None where that clock is too coarse.
    """

    wall_ms: Times
    cpu_ms: Times | None


@dataclass
class _Log:
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def timed(self) -> Timed:
        return Timed(np.array(self.wall_ms), np.array(self.cpu_ms) if CPU_CLOCK_IS_FINE else None)


def time_interleaved(
    runs: Sequence[Run], protocol: Protocol, *, progress: Elapsed | None = None
) -> tuple[Timed, ...]:
    """Times of each run, as many for each.

    A cycle runs each there and back again (A B B A), so that a drift within it cancels; the next cycle
    begins with the next one (B A A B), so that each equally often runs twice in a row, on warm caches.
    """
    for run in runs:
        warm_up(run, protocol)
    logs = [_Log() for _ in runs]
    begin = time.perf_counter()
    for cycle in range(1_000_000):
        for index in cycle_order(len(runs), cycle):
            _time_one(runs[index], logs[index])
        passed = time.perf_counter() - begin
        if progress is not None:
            progress(passed, protocol.duration_s)
        if passed >= protocol.duration_s and 2 * (cycle + 1) >= protocol.min_runs:
            break
    return tuple(log.timed() for log in logs)


def cycle_order(count: int, cycle: int) -> Iterator[int]:
    """Which of `count` to run in a cycle: 1 2 0 0 2 1 in cycle 1 of three."""
    forth = [(cycle + step) % count for step in range(count)]
    yield from forth
    yield from reversed(forth)


def warm_up(run: Run, protocol: Protocol) -> None:
    """Run until caches, clock rate and memory arenas have settled."""
    begin = time.perf_counter()
    count = 0
    while count < protocol.warmup_runs or (time.perf_counter() - begin) * 1e3 < protocol.warmup_ms:
        run()
        count += 1


def _time_one(run: Run, log: _Log) -> None:
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    run()
    wall_end, cpu_end = time.perf_counter_ns(), time.process_time_ns()
    log.wall_ms.append((wall_end - wall) / 1e6)
    log.cpu_ms.append((cpu_end - cpu) / 1e6)

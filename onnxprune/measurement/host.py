"""The machine while it measures: recorded, never changed."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

CPU_FOLDER = Path("/sys/devices/system/cpu")
CPU_INFO = Path("/proc/cpuinfo")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
BUSY = 0.3  # runnable processes a processor, apart from ours


@dataclass(frozen=True)
class HostFacts:
    """What a latency depends on beside the model.

    Args:
        processor: Its name.
        processors: That the machine has.
        affinity: Those that this process may use; () where the system does not tell.
        quota: Processors' worth of time that a container grants; None without a limit.
        governors: Of the clock rate, each once; () where the system does not tell.
        load_1m: Runnable processes, mean over the last minute; None where the system does not tell.
    """

    processor: str
    processors: int
    affinity: tuple[int, ...]
    quota: float | None
    governors: tuple[str, ...]
    load_1m: float | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """W604 for each fact that makes latencies unsteady."""
        found = []
        if self.load_1m is not None and self.load_1m > BUSY * self.processors:
            found.append(f"W604: busy machine: load {self.load_1m:.1f} on {self.processors} processors")
        if set(self.governors) - {"performance"}:
            found.append(f"W604: clock governor {', '.join(self.governors)}: the clock rate may change")
        if self.quota is not None and self.quota < 1:
            found.append(f"W604: the container may use {self.quota:.2f} processors: runs are interrupted")
        return tuple(found)


def host_facts() -> HostFacts:
    """The facts of this machine, now."""
    return HostFacts(
        processor=_processor(),
        processors=os.cpu_count() or 1,
        affinity=_affinity(),
        quota=parse_quota(_text(QUOTA)),
        governors=_governors(),
        load_1m=_load(),
    )


def parse_quota(text: str) -> float | None:
    """Processors' worth of time, from "200000 100000" as control groups write it; "max" is no limit."""
    granted, _, period = text.strip().partition(" ")
    return int(granted) / int(period) if granted.isdecimal() and period.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _processor() -> str:
    names = [line.partition(":")[2] for line in _text(CPU_INFO).splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def _affinity() -> tuple[int, ...]:
    # Not on macOS, not on Windows.
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def _governors() -> tuple[str, ...]:
    files = CPU_FOLDER.glob("cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({_text(path).strip() for path in files} - {""}))


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):  # Windows
        return None

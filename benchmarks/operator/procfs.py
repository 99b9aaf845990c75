"""What a process has used: CPU and memory from /proc, and what this machine is."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessStat", "machine"]

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One process so far."""

    cpu_seconds: float
    rss_mb: float
    peak_mb: float

    @classmethod
    def of(cls, pid: int) -> ProcessStat:
        """Read it."""
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        sizes = _fields(Path(f"/proc/{pid}/status"))
        return cls(
            cpu_seconds=(int(words[11]) + int(words[12])) / TICKS,
            rss_mb=_megabytes(sizes["VmRSS"]),
            peak_mb=_megabytes(sizes["VmHWM"]),
        )


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _megabytes(text: str) -> float:
    return int(text.split()[0]) * 1024 / 1e6


def machine() -> dict[str, str]:
    """Words for the head of a table."""
    cpu = _fields(Path("/proc/cpuinfo")).get("model name", platform.machine())
    memory = _megabytes(_fields(Path("/proc/meminfo"))["MemTotal"]) / 1000
    return {
        "cpu": f"{os.cpu_count()} x {cpu}",
        "memory": f"{memory:.0f} GB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }

"""The operator's settings: environment variables, as the chart sets them, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process was told to run."""

    namespace: str
    """The operator's own: its Modes count, and its library serves everybody."""
    watch_namespaces: tuple[str, ...]
    """Whose Evaluations are served; empty is everybody's."""
    runner_image: str
    metrics_port: int
    probes_port: int
    log_format: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the variables; raises ValueError naming the one that is wrong."""
        watched = env.get("INTERPLAY_WATCH_NAMESPACES", "")
        log_format = env.get("INTERPLAY_LOG_FORMAT", "json")
        if log_format not in ("json", "text"):
            raise ValueError(f"INTERPLAY_LOG_FORMAT: {log_format} is neither json nor text")
        return cls(
            namespace=env.get("INTERPLAY_NAMESPACE") or "interplay-system",
            watch_namespaces=tuple(sorted({n.strip() for n in watched.split(",") if n.strip()})),
            runner_image=env.get("INTERPLAY_RUNNER_IMAGE") or "interplay-runner:latest",
            metrics_port=_port(env, "INTERPLAY_METRICS_PORT", 8080),
            probes_port=_port(env, "INTERPLAY_PROBES_PORT", 8081),
            log_format=log_format,
        )


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or not 0 <= int(text) < 65536:
        raise ValueError(f"{name}: {text} is not a port")
    return int(text)

"""Where everything lies, so that no other module spells a path of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError

__all__ = ["CACHE", "Layout", "checkout"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interplay"
"""What outlives a checkout: built binaries, image layers, pushed images."""

_SOCKET_LIMIT = 107
"""A Unix socket's path has 107 bytes at most (sockaddr_un)."""


@dataclass(frozen=True)
class Layout:
    """The folders of one checkout's cluster."""

    root: Path

    @property
    def home(self) -> Path:
        """The one folder that holds the cluster; git ignores it."""
        return self.root / ".cluster"

    @property
    def bin(self) -> Path:
        return self.home / "bin"

    @property
    def run(self) -> Path:
        """Records of processes, and sockets."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def config(self) -> Path:
        return self.home / "config"

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def provider(self) -> Path:
        """A file that names what `up` chose: native, kind, or a context."""
        return self.home / "provider"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def etcd_socket(self) -> Path:
        return self.run / "etcd.sock"

    def tool(self, name: str) -> str:
        """The command that runs one of the built programs."""
        return str(self.bin / name)

    def check(self) -> None:
        longest = max(len(os.fsencode(p)) for p in (self.containerd_socket, self.etcd_socket))
        # containerd appends ".ttrpc" to its socket's path.
        if longest + len(".ttrpc") > _SOCKET_LIMIT:
            raise ClusterError(f"{self.root}: this path is too long for Unix sockets below it")


def checkout() -> Layout:
    return Layout(Path(__file__).resolve().parent.parent)

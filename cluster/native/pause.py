"""The image that holds a pod's namespaces: one static C program, packed without any registry."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from cluster.shell import output

__all__ = ["PAUSE_IMAGE", "archive", "compile_pause"]

PAUSE_IMAGE = "interplay.dev/pause:1"
_SOURCE = Path(__file__).with_name("pause.c")


def compile_pause(target: Path) -> None:
    output(["gcc", "-static", "-Os", "-s", "-o", target, _SOURCE])


def archive(program: bytes) -> bytes:
    """An image archive (as `docker save` writes it) with the program alone in its root."""
    layer = _tar({"pause": program}, mode=0o755)
    config = json.dumps(
        {
            "architecture": _architecture(program),
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    entries = {
        "config.json": config,
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    return gzip.compress(_tar(entries, mode=0o644), mtime=0)


def _architecture(program: bytes) -> str:
    """From the ELF header's machine field."""
    machines = {0x3E: "amd64", 0xB7: "arm64"}
    return machines[int.from_bytes(program[18:20], "little")]


def _tar(entries: dict[str, bytes], mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

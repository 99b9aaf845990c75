"""The two programs that build and push images: buildah as root on Linux, Docker elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from . import baseimage
from .console import step
from .errors import ClusterError
from .hostpip import mounts
from .layout import CACHE, Layout
from .packages import install
from .shell import answers, output, run

__all__ = ["Buildah", "Builder", "Docker", "builder"]


class Builder(Protocol):
    """Builds in steps that are cached, and pushes only what the registry lacks."""

    def base(self) -> str | None:
        """The image to build on; None means the Containerfile's own default."""

    def build(self, context: Path, containerfile: Path, base: str | None, name: str) -> None:
        """Build the Containerfile under a local name."""

    def push(self, name: str, reference: str) -> str:
        """Push it there; the answer is the manifest's digest."""


def builder(layout: Layout) -> Builder:
    if shutil.which("docker") and answers(["docker", "info"]):
        return Docker(layout)
    if os.geteuid() != 0:
        raise ClusterError("images: building needs Docker, or root for buildah")
    return Buildah(layout)


def _log(layout: Layout, image: str) -> Path:
    return layout.logs / f"build-{image.partition(':')[0].rpartition('/')[2]}.log"


class Buildah:
    """buildah with a storage of its own, which outlives the checkout."""

    _PACKAGES = ("buildah", "debootstrap")

    def __init__(self, layout: Layout) -> None:
        install(self._PACKAGES)
        self._layout = layout
        storage = CACHE / "buildah"
        self._environment: Mapping[str, str] = {
            "BUILDAH_ISOLATION": "chroot",
            "STORAGE_DRIVER": "overlay",
        }
        self._command = ["buildah", f"--root={storage}/root", f"--runroot={storage}/run"]

    def base(self) -> str:
        name = baseimage.name()
        if not self._exists(name):
            scratch = CACHE / "base"
            with step("making the base image from Debian packages"):
                baseimage.make(scratch, self._layout.logs / "debootstrap.log")
                self._commit(scratch, name)
                shutil.rmtree(scratch)
        return self._output("images", "--quiet", "--no-trunc", name).strip()

    def build(self, context: Path, containerfile: Path, base: str | None, name: str) -> None:
        lent = mounts(self._layout.home / "build")
        command = [
            *self._command,
            *("build", "--network=host", "--layers", "--timestamp=0"),
            *(f"--volume={here}:{there}:ro" for here, there in lent),
            *((f"--build-arg=BASE_IMAGE={base}",) if base else ()),
            *(f"--tag={name}", f"--file={containerfile}", str(context)),
        ]
        try:
            run(command, _log(self._layout, name), env=self._environment)
        finally:
            # buildah keeps each step's container, twice the size of its layer, and mounted.
            self._output("rm", "--all")

    def push(self, name: str, reference: str) -> str:
        digest = self._layout.home / "build" / "digest"
        self._output(
            # To a registry buildah always compresses, so at least quickly.
            *("push", "--tls-verify=false", "--compression-level=1"),
            *(f"--digestfile={digest}", name, f"docker://{reference}"),
        )
        return digest.read_text().strip()

    def _exists(self, name: str) -> bool:
        return bool(self._output("images", "--quiet", "--filter", f"reference={name}").strip())

    def _commit(self, root: Path, name: str) -> None:
        container = self._output("from", "scratch").strip()
        self._output("add", container, str(root), "/")
        self._output("commit", "--rm", "--timestamp=0", container, name)

    def _output(self, *arguments: str) -> str:
        return output([*self._command, *arguments], env=self._environment)


class Docker:
    """Docker's own builder, cache and proxies; it reaches the registries its daemon reaches."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def base(self) -> None:
        return None

    def build(self, context: Path, containerfile: Path, base: str | None, name: str) -> None:
        run(
            [
                *("docker", "build", "--network=host"),
                *((f"--build-arg=BASE_IMAGE={base}",) if base else ()),
                *("--tag", name, "--file", containerfile, context),
            ],
            _log(self._layout, name),
            # Layers with the times of their files fixed: the same inputs, the same digest.
            env={"DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": "0"},
        )

    def push(self, name: str, reference: str) -> str:
        output(["docker", "tag", name, reference])
        output(["docker", "push", "--quiet", reference])
        inspected = output(["docker", "inspect", "--format", "{{json .RepoDigests}}", reference])
        repository = reference.rpartition(":")[0]
        digests = [d.partition("@") for d in json.loads(inspected)]
        return next(str(digest) for name, _, digest in digests if name == repository)

"""Builds the operator's and the runner's image when their inputs changed, and pushes them."""

from __future__ import annotations

import http.client
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import sources
from .builders import Builder, builder
from .console import step
from .layout import CACHE, Layout
from .preload import preload

__all__ = ["IMAGES", "Image", "provide"]

_LOOPBACK = "127.0.0.1:"
_ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Image:
    """An image by what `cluster images` calls it."""

    name: str

    @property
    def containerfile(self) -> Path:
        return Path("images") / self.name / "Containerfile"

    @property
    def repository(self) -> str:
        return f"interplay-{self.name}"


IMAGES = (Image("operator"), Image("runner"))


def provide(layout: Layout, registry: str) -> dict[str, str]:
    """Each image's reference by digest; what is there already is neither built nor pushed."""
    tool = builder(layout)
    base = tool.base()
    references = {}
    for image in IMAGES:
        digest = _image(layout, registry, tool, base, image)
        references[image.name] = f"{registry}/{image.repository}@{digest}"
    if registry.startswith(_LOOPBACK):
        for reference in references.values():
            preload(layout, reference)
    return references


def _image(layout: Layout, registry: str, tool: Builder, base: str | None, image: Image) -> str:
    text = (layout.root / image.containerfile).read_text()
    paths = sources.files(layout.root, sources.copied(text))
    key = sources.inputs_digest(
        layout.root, [*paths, image.containerfile], base or "", type(tool).__name__
    )
    record = CACHE / "images" / registry.replace("/", "_") / f"{image.name}-{key[:32]}"
    if record.exists() and _has(registry, image.repository, record.read_text()):
        return record.read_text()
    local = f"localhost/{image.repository}:latest"
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        sources.stage(layout.root, [*paths, image.containerfile], context)
        with step(f"building the {image.name} image"):
            tool.build(context, context / image.containerfile, base, local)
    with step(f"pushing the {image.name} image"):
        digest = tool.push(local, f"{registry}/{image.repository}:{key[:12]}")
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(digest)
    return digest


def _has(registry: str, repository: str, digest: str) -> bool:
    """Whether a loopback registry still holds the manifest; another one is not asked."""
    if not registry.startswith(_LOOPBACK):
        return False
    connection = http.client.HTTPConnection(registry, timeout=10)
    try:
        path = f"/v2/{repository}/manifests/{digest}"
        connection.request("HEAD", path, headers={"Accept": ", ".join(_ACCEPT)})
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()

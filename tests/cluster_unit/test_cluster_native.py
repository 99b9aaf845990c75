"""The native node's pure parts: arguments and configuration (golden), certificates, mounts, pause.

UPDATE_GOLDEN=1 rewrites the golden file.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.layout import CACHE, Layout
from cluster.native import certificates, components, config, pause, remains

GOLDEN = Path(__file__).parent / "golden" / "node.txt"


def test_arguments_and_configuration_are_the_golden_file() -> None:
    layout = Layout(Path("/checkout"))
    parts = [
        " \\\n    ".join([f"{daemon.name} at {daemon.listens}:", *daemon.argv])
        for wave in components.waves(layout)
        for daemon in wave
    ]
    parts += [f"{path}:\n{text}" for path, text in config.files(layout).items()]
    text = "\n".join(parts).replace(str(CACHE), "/cache")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "UPDATE_GOLDEN=1 rewrites it"


def test_nothing_listens_to_the_outside() -> None:
    for wave in components.waves(Layout(Path("/checkout"))):
        for daemon in wave:
            assert daemon.listens.startswith(("/checkout/", "127.0.0.1:", "10.88.0.1:"))


def test_certificates_hold_and_stay(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    certificates.issue(pki)
    names = [certificate.name for certificate in certificates.CERTIFICATES]
    for name in names:
        verify = ["openssl", "verify", "-CAfile", str(pki / "ca.crt"), str(pki / f"{name}.crt")]
        subprocess.run(verify, check=True, capture_output=True)
    show = ["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName,extendedKeyUsage"]
    text = subprocess.run(
        [*show, "-in", str(pki / "kubelet.crt")], check=True, capture_output=True, text=True
    ).stdout
    assert "O = system:nodes, CN = system:node:interplay" in text
    assert "IP Address:10.88.0.1" in text
    assert "TLS Web Server Authentication" in text
    before = {path: path.read_bytes() for path in pki.iterdir()}
    certificates.issue(pki)
    assert {path: path.read_bytes() for path in pki.iterdir()} == before
    assert pki.stat().st_mode & 0o777 == 0o700


def test_a_kubeconfig_carries_its_own_credentials() -> None:
    parsed = json.loads(config.kubeconfig(b"ca", b"crt", b"key"))
    assert parsed["users"][0]["user"] == {
        "client-certificate-data": "Y3J0",
        "client-key-data": "a2V5",
    }
    assert parsed["clusters"][0]["cluster"]["certificate-authority-data"] == "Y2E="


def test_mounts_go_in_the_order_they_can() -> None:
    def line(point: str) -> str:
        return f"36 35 98:0 / {point} rw,noatime master:1 - ext4 /dev/root rw"

    table = ["/", "/a/.cluster/x", "/a/.cluster/x/y", "/a/.cluster2", "/a/.cluster/with\\040space"]
    assert remains.mounts_below(Path("/a/.cluster"), "\n".join(map(line, table))) == [
        Path("/a/.cluster/with space"),
        Path("/a/.cluster/x/y"),
        Path("/a/.cluster/x"),
    ]


def test_the_pause_image_is_the_program_alone_and_the_same_each_time() -> None:
    program = b"\x7fELF".ljust(18, b"\0") + b"\x3e\0"
    packed = pause.archive(program)
    assert packed == pause.archive(program)
    with tarfile.open(fileobj=io.BytesIO(packed)) as outer:
        layer = outer.extractfile("layer.tar")
        described = outer.extractfile("config.json")
        assert layer
        assert described
        assert json.load(described)["architecture"] == "amd64"
        with tarfile.open(fileobj=io.BytesIO(layer.read())) as inner:
            [entry] = inner.getmembers()
    assert (entry.name, entry.mode) == ("pause", 0o755)


def test_a_path_too_long_for_sockets_is_refused_at_once() -> None:
    Layout(Path("/checkout")).check()
    with pytest.raises(ClusterError, match="too long for Unix sockets"):
        Layout(Path("/", "x" * 80)).check()

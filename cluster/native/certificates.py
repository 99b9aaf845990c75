"""Certificates of the native node: one authority, and who gets a certificate as whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.shell import output

from .addresses import GATEWAY, NODE, SERVICE_FIRST

__all__ = ["CERTIFICATES", "Certificate", "authority_command", "issue", "signed_command"]

_DAYS = "3650"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A key pair's name, whom Kubernetes takes its holder for, and where it may serve."""

    name: str
    user: str
    group: str = ""
    hosts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"


CERTIFICATES = (
    Certificate(
        "apiserver",
        "kube-apiserver",
        hosts=(
            "DNS:kubernetes",
            "DNS:kubernetes.default",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local",
            f"IP:{SERVICE_FIRST}",
            f"IP:{GATEWAY}",
        ),
    ),
    Certificate("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    Certificate("admin", "admin", "system:masters"),
    Certificate("controller-manager", "system:kube-controller-manager"),
    Certificate("scheduler", "system:kube-scheduler"),
    Certificate("proxy", "system:kube-proxy"),
    Certificate("kubelet", f"system:node:{NODE}", "system:nodes", (f"IP:{GATEWAY}", f"DNS:{NODE}")),
)


def authority_command(pki: Path) -> list[str]:
    return [
        *("openssl", "req", "-x509", "-days", _DAYS, *_CURVE, "-subj", "/CN=interplay"),
        *("-addext", "keyUsage=critical,keyCertSign,digitalSignature"),
        *("-keyout", str(pki / "ca.key"), "-out", str(pki / "ca.crt")),
    ]


def signed_command(pki: Path, certificate: Certificate) -> list[str]:
    usage = "serverAuth,clientAuth" if certificate.hosts else "clientAuth"
    hosts = ("-addext", f"subjectAltName={','.join(certificate.hosts)}")
    return [
        *("openssl", "req", "-x509", "-days", _DAYS, *_CURVE, "-subj", certificate.subject),
        *("-CA", str(pki / "ca.crt"), "-CAkey", str(pki / "ca.key")),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", f"extendedKeyUsage={usage}"),
        *(hosts if certificate.hosts else ()),
        *("-keyout", str(pki / f"{certificate.name}.key")),
        *("-out", str(pki / f"{certificate.name}.crt")),
    ]


def issue(pki: Path) -> None:
    """Make what is missing; what is there stays, so that kubeconfigs in use go on working."""
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    if not (pki / "ca.crt").exists():
        output(authority_command(pki))
    for certificate in CERTIFICATES:
        if not (pki / f"{certificate.name}.crt").exists():
            output(signed_command(pki, certificate))
    service_accounts = pki / "service-accounts.key"
    if not service_accounts.exists():
        output(["openssl", "genrsa", "-out", service_accounts, "2048"])

"""The node's network: one bridge that carries the owner's name, and the traces to remove again."""

from __future__ import annotations

from pathlib import Path

from cluster.errors import ClusterError
from cluster.shell import answers, output

from .addresses import BRIDGE, GATEWAY, SERVICE_CIDR

__all__ = ["create", "holder", "remove"]

_LINKS = Path("/sys/class/net")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_MAC = "0a:58:0a:58:00:01"
"""Fixed: otherwise a bridge takes its address from its ports, and changes with each pod."""
_TABLES = (
    ("ip", "kube-proxy"),
    ("ip6", "kube-proxy"),
    ("inet", "cni_plugins_masquerade"),
)
"""What kube-proxy and the bridge plugin put into nftables."""


def holder() -> Path | None:
    """The checkout whose native node holds this machine's bridge, if any does."""
    alias = _LINKS / BRIDGE / "ifalias"
    try:
        name = alias.read_text().strip()
    except OSError:
        return None
    if not name:
        raise ClusterError(
            f"network: there is a link {BRIDGE} that is not ours; it stays untouched"
        )
    return Path(name)


def create(root: Path, saved: Path) -> None:
    """Make the bridge in the name of the checkout; `saved` keeps what was set before."""
    saved.parent.mkdir(parents=True, exist_ok=True)
    saved.write_text(_FORWARDING.read_text())
    # The name is part of the same step as the link: two checkouts cannot both succeed.
    output(["ip", "link", "add", "name", BRIDGE, "address", _MAC, "type", "bridge"])
    output(["ip", "link", "set", BRIDGE, "alias", root])
    output(["ip", "address", "add", f"{GATEWAY}/16", "dev", BRIDGE])
    output(["ip", "link", "set", BRIDGE, "up"])
    # Services' addresses belong to nobody; without kube-proxy they must not leave the machine.
    output(["ip", "route", "add", SERVICE_CIDR, "dev", BRIDGE])
    _FORWARDING.write_text("1\n")


def remove(saved: Path) -> None:
    """Take links, nftables and the forwarding setting back to what they were."""
    for link in _LINKS.iterdir():
        master = link / "master"
        if master.exists() and master.resolve().name == BRIDGE:
            answers(["ip", "link", "delete", link.name])
    for family, table in _TABLES:
        answers(["nft", "delete", "table", family, table])
    if (_LINKS / BRIDGE).exists():
        output(["ip", "link", "delete", BRIDGE])
    if saved.exists():
        _FORWARDING.write_text(saved.read_text())
        saved.unlink()

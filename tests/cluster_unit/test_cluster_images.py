"""What goes into an image, what decides its key, and what a build borrows from the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import baseimage, hostpip, sources
from cluster.errors import ClusterError
from cluster.images import IMAGES

ROOT = Path(__file__).resolve().parents[2]


def test_only_what_is_copied_from_the_context_counts() -> None:
    text = "FROM a AS b\nCOPY --chown=1:1 x.txt \\\n  y/ /there/\nCOPY --from=b /q /q\nRUN COPY z\n"
    assert sources.copied(text) == ["x.txt", "y/"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_the_containerfiles_copy_what_is_there(image: object) -> None:
    text = (ROOT / getattr(image, "containerfile")).read_text()  # noqa: B009
    paths = sources.files(ROOT, sources.copied(text))
    assert Path("pyproject.toml") in paths
    assert not [path for path in paths if path.suffix == ".pyc"]


def test_the_key_follows_content_and_mode_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "__pycache__").mkdir(parents=True)
    file = folder / "a.py"
    file.write_text("1")

    def key() -> str:
        return sources.inputs_digest(tmp_path, sources.files(tmp_path, ["code"]), "base")

    first = key()
    (folder / "__pycache__" / "a.pyc").write_text("compiled")
    file.touch()
    assert key() == first
    file.chmod(0o755)
    second = key()
    file.write_text("2")
    assert len({first, second, key()}) == 3


def test_a_staged_context_has_the_modes_git_knows(tmp_path: Path) -> None:
    file = tmp_path / "code" / "a.py"
    file.parent.mkdir(mode=0o700)
    file.write_text("1")
    file.chmod(0o600)
    sources.stage(tmp_path, [Path("code/a.py")], tmp_path / "out")
    assert (tmp_path / "out" / "code").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out" / "code" / "a.py").stat().st_mode & 0o777 == 0o644


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="COPY absent: no such file"):
        sources.files(tmp_path, ["absent"])


def test_pip_is_lent_where_packages_are_and_nothing_else() -> None:
    listed = (
        "global.index-url='http://first/simple'\n"
        "install.cache-dir='/root/cache'\n"
        ":env:.index-url='http://second/simple'\n"
        ":env:.find-links='\\n/a\\n/b'\n"
        ":env:.cert='/on/this/machine.crt'\n"
    )
    assert hostpip.pip_configuration(listed, certificates=True) == (
        "[global]\n"
        "cert = /etc/ssl/certs/ca-certificates.crt\n"
        "find-links = /a /b\n"
        "index-url = http://second/simple\n"
    )
    assert hostpip.pip_configuration("", certificates=False) == "[global]\n"


def test_the_base_comes_from_where_apt_finds_debian() -> None:
    targets = "Debian|bookworm-updates|http://one/debian\nDebian|bookworm|http://two/debian\n"
    assert baseimage.mirror(targets) == "http://two/debian"
    assert "debian" in baseimage.mirror("Ubuntu|noble|http://three/ubuntu\n")

"""Fixtures: one real API server per session with the CRDs, one random namespace per test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from interplay_api.constants import API_VERSION
from interplay_api.kinds import KINDS
from tests.apiserver.client import Client
from tests.apiserver.server import ApiServer, crds, missing_binaries


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The API server with our CRDs established; `server.kubeconfig` is the administrator's."""
    if reason := missing_binaries():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    running = ApiServer(tmp_path_factory.mktemp("apiserver"))
    running.start()
    try:
        running.install(crds())
        yield running
    finally:
        running.stop()


@pytest.fixture
def admin(server: ApiServer) -> Client:
    """The administrator."""
    return server.admin


@pytest.fixture
def namespace(server: ApiServer) -> Iterator[str]:
    """A namespace of the test's own; what it holds of ours is deleted afterwards."""
    name = f"t-{secrets.token_hex(4)}"
    meta = {"name": name}
    server.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    yield name
    for kind in KINDS:
        collection = server.admin.path(API_VERSION, kind.name, name)
        server.admin.request("DELETE", collection)

"""The chart's life against a real API server: install, upgrade, uninstall, and what is left."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.client import ApiError, Client
from tests.apiserver.server import ApiServer, missing_binaries
from tests.helm.chart import CHART, NAMESPACE, RELEASE, ROOT, Helm, Object, identity, plurals

pytestmark = pytest.mark.apiserver

SCOPE = ("--namespace", NAMESPACE)
NOISE = {"APIService", "Event", "Lease"}
"""What the API server writes on its own: about itself, and one per group that it serves."""
DEFINITIONS = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
EVALUATION: Object = {
    "apiVersion": "interplay.dev/v1alpha1",
    "kind": "Evaluation",
    "metadata": {"name": "digits", "namespace": NAMESPACE},
    "spec": {"models": [{"name": "digits-resnet-plain"}], "measurements": {"groups": ["base"]}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that knows nothing of us yet."""
    if reason := missing_binaries():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    running = ApiServer(tmp_path_factory.mktemp("apiserver"))
    running.start()
    try:
        meta = {"name": NAMESPACE}
        running.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        until_settled(running.admin)
        yield running
    finally:
        running.stop()


@pytest.fixture
def before(server: ApiServer) -> Iterator[set[tuple[str, str, str]]]:
    """All that there is before the test; the definitions go as the chart's readme says."""
    yield everything(server.admin)
    label = "app.kubernetes.io/part-of=interplay"
    # One by one, as kubectl does: deleting the collection leaves the instances in the store.
    for crd in server.admin.list(*DEFINITIONS, labelSelector=label):
        path = server.admin.path(*DEFINITIONS, name=crd["metadata"]["name"])
        try:
            server.admin.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:  # an uninstall may be just done with it
                raise
    until_served(server.admin, served=False)


def everything(client: Client) -> set[tuple[str, str, str]]:
    """Every object of every kind that can be listed."""
    groups = client.request("GET", "/apis")["groups"]
    roots = ["/api/v1", *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups)]
    return {
        identity({**item, "kind": kind["kind"]})
        for root in roots
        for kind in client.request("GET", root)["resources"]
        if "list" in kind["verbs"] and kind["kind"] not in NOISE
        for item in client.request("GET", f"{root}/{kind['name']}")["items"]
    }


def until_settled(client: Client) -> None:
    """Wait for the server's own Service: it comes a moment after the server is ready."""
    deadline = time.monotonic() + 30
    while not {"Service", "IPAddress"} <= {kind for kind, _, _ in everything(client)}:
        assert time.monotonic() < deadline, "the API server has no Service of its own"
        time.sleep(0.1)


def answer(client: Client, plural: str) -> int:
    """The HTTP status with which the server lists one of our kinds."""
    try:
        client.request("GET", f"/apis/interplay.dev/v1alpha1/{plural}")
    except ApiError as error:
        return error.status
    return 200


def until_served(client: Client, *, served: bool = True) -> None:
    """Wait for all our kinds, or for the end of all: in between the server answers 429."""
    deadline = time.monotonic() + 30
    expected = dict.fromkeys(plurals(), 200 if served else 404)
    while (answers := {plural: answer(client, plural) for plural in expected}) != expected:
        assert time.monotonic() < deadline, f"expected {expected}, got {answers}"
        time.sleep(0.1)


def older_chart(folder: Path) -> Path:
    """The chart as an earlier version might have been: Evaluations have no short name yet."""
    shutil.copytree(CHART, folder)
    crd = folder / "templates" / "crds" / "evaluations.yaml"
    text = crd.read_text()
    assert "    shortNames:\n    - eval\n" in text
    crd.write_text(text.replace("    shortNames:\n    - eval\n", ""))
    return folder


def short_names(client: Client) -> list[str]:
    crd = client.get(*DEFINITIONS, "", "evaluations.interplay.dev")
    names: list[str] = crd["spec"]["names"].get("shortNames", [])
    return names


@pytest.mark.parametrize("keep", [True, False], ids=["keep", "remove"])
def test_install_upgrade_uninstall(
    server: ApiServer, before: set[Any], helm: Helm, tmp_path: Path, keep: bool
) -> None:
    client, values = server.admin, {"crds": {"keep": keep}}

    def run(*args: str | Path, **values: Any) -> None:
        helm.run(*args, *SCOPE, kubeconfig=server.kubeconfig, values=values)

    run("install", RELEASE, older_chart(tmp_path / "older"), **values)
    until_served(client)
    rendered = {identity(i) for i in helm.render(values, crds=True)}
    assert rendered <= everything(client)
    assert short_names(client) == []
    client.create(EVALUATION)

    run("upgrade", RELEASE, CHART, **values, logFormat="text")
    assert short_names(client) == ["eval"]
    committed = [yaml.safe_load(p.read_text()) for p in (ROOT / "crds").glob("*.yaml")]
    assert schemas(client.list(*DEFINITIONS)) == schemas(committed)
    assert EVALUATION["spec"].items() <= client.get(*address(EVALUATION))["spec"].items()

    helm.run("uninstall", RELEASE, *SCOPE, "--wait", kubeconfig=server.kubeconfig)
    until_served(client, served=keep)
    left = everything(client) - before
    definitions = {i for i in rendered if i[0] == "CustomResourceDefinition"}
    assert left == ({*definitions, identity(EVALUATION)} if keep else set())


def test_a_new_release_takes_up_what_was_kept(
    server: ApiServer, before: set[Any], helm: Helm
) -> None:
    del before
    for _ in range(2):
        helm.run("install", RELEASE, CHART, *SCOPE, kubeconfig=server.kubeconfig)
        until_served(server.admin)
        server.admin.apply(EVALUATION)
        helm.run("uninstall", RELEASE, *SCOPE, "--wait", kubeconfig=server.kubeconfig)
    assert server.admin.get(*address(EVALUATION))["metadata"]["generation"] == 1


def schemas(crds: Iterable[Object]) -> dict[str, Any]:
    """The schema of each definition, by its name."""
    return {c["metadata"]["name"]: c["spec"]["versions"][0]["schema"] for c in crds}


def address(item: Object) -> tuple[str, str, str, str]:
    """What the client's `get` takes."""
    kind, namespace, name = identity(item)
    return item["apiVersion"], kind, namespace, name

"""What the chart renders: defaults, switches, images, permissions of the pod, documentation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.constants import LABEL_MANAGED, MANAGED_BY
from interplay_api.evaluation import EvaluationSpec
from interplay_api.resolve import resolve
from tests.helm.chart import CHART, ROOT, Helm, identity, named, only

GOLDEN = Path(__file__).parent / "golden" / "defaults.yaml"
MONITOR = "monitoring.coreos.com/v1/ServiceMonitor"
EVERYTHING: dict[str, Any] = {
    "imagePullSecrets": [{"name": "pull"}],
    "podLabels": {"team": "vision"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "serviceAccount": {"annotations": {"note": "x"}},
    "metrics": {"service": {"annotations": {"note": "x"}}},
    "networkPolicy": {
        "operator": {"metricsFrom": [{"namespaceSelector": {}}]},
        "runners": {"enabled": True, "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]},
    },
}


def test_defaults_are_the_golden_file(helm: Helm) -> None:
    items = sorted(helm.render(), key=identity)
    text = yaml.safe_dump_all(items, sort_keys=True)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "UPDATE_GOLDEN=1 rewrites it"


def test_helm_finds_nothing_to_say(helm: Helm) -> None:
    said = helm.run("lint", "--strict", CHART)
    assert "[ERROR]" not in said
    assert "[WARNING]" not in said


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize(
    "values", [{}, EVERYTHING, {**EVERYTHING, "watchNamespaces": ["a", "b"]}], ids=str
)
def test_every_object_is_valid_offline(helm4: Helm, version: str, values: dict[str, Any]) -> None:
    for item in helm4.render(values, kube_version=f"v{version}.0"):
        kubernetes_validate.validate(item, version, strict=True)


def test_an_older_kubernetes_is_refused_and_a_vendor_suffix_is_not(helm: Helm) -> None:
    with pytest.raises(RuntimeError, match=r"1\.31"):
        helm.render(kube_version="v1.30.9")
    assert helm.render(kube_version="v1.31.4-gke.1")


def test_operator_pod_passes_pod_security_restricted(helm4: Helm) -> None:
    pod = only(helm4.render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [set(v) - {"name"} for v in pod["volumes"]] == [{"emptyDir"}]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)


def test_digest_wins_over_tag_and_tag_over_app_version(helm4: Helm) -> None:
    digest = "sha256:" + "a" * 64

    def images(values: Mapping[str, str]) -> tuple[str, str]:
        image = {who: {"repository": f"example.org:5000/{who}", **values} for who in ("op", "run")}
        rendered = helm4.render({"image": {"operator": image["op"], "runner": image["run"]}})
        (container,) = only(rendered, "Deployment")["spec"]["template"]["spec"]["containers"]
        env = {e["name"]: e.get("value") for e in container["env"]}
        return container["image"], env["INTERPLAY_RUNNER_IMAGE"]

    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert images({}) == (f"example.org:5000/op:{version}", f"example.org:5000/run:{version}")
    assert images({"tag": "t"}) == ("example.org:5000/op:t", "example.org:5000/run:t")
    assert images({"tag": "t", "digest": digest}) == (
        f"example.org:5000/op@{digest}",
        f"example.org:5000/run@{digest}",
    )


def test_crds_follow_their_two_switches(helm: Helm) -> None:
    def crds(**values: bool) -> list[dict[str, Any]]:
        return named(helm.render({"crds": values}), "CustomResourceDefinition")

    policy = "helm.sh/resource-policy"
    kept = crds(enabled=True, keep=True)
    assert {c["metadata"]["name"] for c in kept} == {
        yaml.safe_load(p.read_text())["metadata"]["name"] for p in (ROOT / "crds").glob("*.yaml")
    }
    assert {c["metadata"]["annotations"][policy] for c in kept} == {"keep"}
    assert not any(
        policy in c["metadata"].get("annotations", {}) for c in crds(enabled=True, keep=False)
    )
    assert crds(enabled=False, keep=True) == []
    listed = yaml.safe_load(
        yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]["artifacthub.io/crds"]
    )
    assert {c["name"] for c in listed} == {c["metadata"]["name"] for c in kept}


def test_no_instance_of_our_own_kinds(helm4: Helm) -> None:
    items = helm4.render(EVERYTHING, api_versions=[MONITOR], crds=True)
    assert not [i for i in items if i["apiVersion"].startswith("interplay.dev/")]


def test_service_monitor_needs_its_crd_and_keeps_our_namespace_label(helm: Helm) -> None:
    values = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "mon"}}}}
    assert named(helm.render(values), "ServiceMonitor") == []
    assert named(helm.render(api_versions=[MONITOR]), "ServiceMonitor") == []
    items = helm.render(values, api_versions=[MONITOR])
    monitor = only(items, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    assert monitor["metadata"]["labels"]["release"] == "mon"
    service = only(items, "Service")
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert endpoint["port"] in [p["name"] for p in service["spec"]["ports"]]


def test_network_policies_select_the_operator_and_the_runners_apart(helm4: Helm) -> None:
    values = {"networkPolicy": {"runners": {"enabled": True}}, "watchNamespaces": ["b", "a"]}
    items = helm4.render(values)
    operator, *runners = sorted(named(items, "NetworkPolicy"), key=lambda i: len(identity(i)[2]))
    labels = only(items, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert operator["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert operator["spec"]["egress"] == [{}]
    assert [r["metadata"]["namespace"] for r in runners] == ["a", "b"]
    for runner in runners:
        assert runner["spec"]["podSelector"]["matchLabels"] == {LABEL_MANAGED: MANAGED_BY}
        assert "ingress" not in runner["spec"]
        assert "egress" not in runner["spec"]
    assert labels[LABEL_MANAGED] != MANAGED_BY


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and prefix + key != "resources":
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_readme_lists_every_value_with_its_default() -> None:
    table = dict(
        re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", (CHART / "README.md").read_text(), re.M)
    )
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {k: yaml.safe_load(v) for k, v in table.items()} == dict(_leaves(defaults))


def test_notes_print_an_evaluation_that_resolves_with_the_built_in_library(helm4: Helm) -> None:
    args = ("install", "x", str(CHART), "--dry-run=client", "--namespace", "n")
    notes = helm4.run(*args, values={"watchNamespaces": ["team-a"]}).partition("NOTES:")[2]
    found = re.search(r"kubectl -n team-a apply -f - <<EOF\n(.*?)\nEOF$", notes, re.S | re.M)
    assert found, notes
    manifest = yaml.safe_load(found.group(1))
    spec = EvaluationSpec.model_validate(manifest["spec"])
    done = resolve("first", "team-a", spec, Catalog([builtin_layer()]), image="runner")
    assert len(done.runs) == 1

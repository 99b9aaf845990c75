"""ModelRun -> Job manifest. Pure: the same ModelRun and attempt give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interplay_api.constants import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_EVALUATION,
    ANNOTATION_MODEL,
    ANNOTATION_PLAN,
    ANNOTATION_PLAN_DIGEST,
    API_VERSION,
    EXIT_REASONS,
    GROUP,
    LABEL_EVALUATION_UID,
    LABEL_MANAGED,
    LABEL_MODELRUN_UID,
    MANAGED_BY,
    OUTPUT_ROOT,
    PLAN_PATH,
)
from interplay_api.mode import PodShape
from interplay_api.modelrun import ModelRunSpec
from interplay_api.names import canonical_json, job_name
from interplay_api.plan import Plan

__all__ = ["JobRequest", "job_manifest"]

CONTAINER = "runner"
GRACE_SECONDS = 60
PLAN_VOLUME = "interplay-plan"
OUTPUTS_VOLUME = "interplay-outputs"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
RESERVED_PREFIXES = (f"{GROUP}/", "batch.kubernetes.io/", "kueue.x-k8s.io/")
"""A Mode's labels and annotations below these would speak in the name of a controller."""

NO_SIDECARS = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
    "consul.hashicorp.com/connect-inject": "false",
}
"""A sidecar would outlive the runner, and share its 12 KiB of termination messages."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One attempt of one ModelRun."""

    namespace: str
    name: str
    """Of the ModelRun."""
    uid: str
    evaluation_uid: str
    attempt: int
    backoff_limit: int
    spec: ModelRunSpec
    plan: Plan
    """What this attempt measures: the frozen plan without the cells that were copied."""
    plan_digest: str


def job_manifest(request: JobRequest) -> dict[str, Any]:
    """The Job; never edited afterwards, since queue controllers edit it too."""
    spec = request.spec
    labels = {
        LABEL_MANAGED: MANAGED_BY,
        LABEL_EVALUATION_UID: request.evaluation_uid,
        LABEL_MODELRUN_UID: request.uid,
    }
    annotations = {
        ANNOTATION_EVALUATION: spec.evaluation,
        ANNOTATION_MODEL: spec.model,
        ANNOTATION_ATTEMPT: str(request.attempt),
        ANNOTATION_PLAN_DIGEST: request.plan_digest,
    }
    queue = {QUEUE_LABEL: spec.pod.queue_name} if spec.pod.queue_name else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(request.name, request.attempt),
            "namespace": request.namespace,
            "labels": {**labels, **queue},
            "annotations": annotations,
            "ownerReferences": [_owner(request)],
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": request.backoff_limit,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _failure_policy(),
            "template": {
                "metadata": {
                    "labels": {
                        **_foreign(spec.pod.pod_labels),
                        "sidecar.istio.io/inject": "false",
                        **labels,
                    },
                    "annotations": {
                        **_foreign(spec.pod.pod_annotations),
                        **NO_SIDECARS,
                        **annotations,
                        ANNOTATION_PLAN: canonical_json(request.plan.wire()),
                    },
                },
                "spec": _pod(request),
            },
        },
    }


def _owner(request: JobRequest) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRun",
        "name": request.name,
        "uid": request.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _foreign(given: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in given.items() if not k.startswith(RESERVED_PREFIXES)}


def _failure_policy() -> dict[str, Any]:
    return {
        "rules": [
            {
                "action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
            },
            {
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": CONTAINER,
                    "operator": "In",
                    "values": sorted(EXIT_REASONS),
                },
            },
        ]
    }


def _pod(request: JobRequest) -> dict[str, Any]:
    pod = request.spec.pod
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if pod.fs_group is not None:
        security["fsGroup"] = pod.fs_group
    volumes, mounts = _volumes(request)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": security,
        "containers": [_container(request, mounts)],
        "volumes": volumes,
    }
    optional = {
        "imagePullSecrets": [{"name": n} for n in pod.image_pull_secrets],
        "nodeSelector": pod.node_selector,
        "tolerations": [t.wire() for t in pod.tolerations],
        "priorityClassName": pod.priority_class_name,
        "runtimeClassName": pod.runtime_class_name,
        "serviceAccountName": pod.service_account_name,
    }
    return {**spec, **{k: v for k, v in optional.items() if v}}


def _container(request: JobRequest, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    pod = request.spec.pod
    return {
        "name": CONTAINER,
        "image": pod.image,
        "imagePullPolicy": pod.image_pull_policy,
        "args": ["--plan", PLAN_PATH, "--plan-digest", request.plan_digest],
        "env": _env(request),
        "resources": _resources(pod),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _env(request: JobRequest) -> list[dict[str, Any]]:
    mode = [e for e in request.spec.pod.env if not e.name.startswith("INTERPLAY_")]
    ours: list[dict[str, Any]] = [
        {"name": "INTERPLAY_MODELRUN_UID", "value": request.uid},
        {"name": "INTERPLAY_ATTEMPT", "value": str(request.attempt)},
        {
            "name": "INTERPLAY_POD_UID",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}},
        },
    ]
    if request.spec.outputs_claim:
        ours.append({"name": "INTERPLAY_OUTPUTS", "value": OUTPUT_ROOT})
    # Libraries put caches below the home folder, and only /tmp can be written.
    home = [] if any(e.name == "HOME" for e in mode) else [{"name": "HOME", "value": "/tmp"}]
    # A value is what it says: Kubernetes would put other variables in place of $(NAME).
    given = ({"name": e.name, "value": e.value.replace("$", "$$")} for e in mode)
    return [*home, *given, *ours]


def _resources(pod: PodShape) -> dict[str, Any]:
    requests = dict(pod.resources.requests or {})
    limits = dict(pod.resources.limits or {})
    if pod.gpus:
        # Extended resources must be equal in both.
        requests[pod.gpu_resource] = limits[pod.gpu_resource] = str(pod.gpus)
    return {k: v for k, v in (("requests", requests), ("limits", limits)) if v}


def _volumes(request: JobRequest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes, one per claim, and their mounts."""
    pod = request.spec.pod
    path, _, name = PLAN_PATH.rpartition("/")
    field = {"fieldPath": f"metadata.annotations['{ANNOTATION_PLAN}']"}
    volumes: list[dict[str, Any]] = [
        {"name": PLAN_VOLUME, "downwardAPI": {"items": [{"path": name, "fieldRef": field}]}},
        {"name": "interplay-tmp", "emptyDir": {}},
        {"name": "interplay-shm", "emptyDir": {"medium": "Memory", "sizeLimit": pod.shm_size}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": PLAN_VOLUME, "mountPath": path, "readOnly": True},
        {"name": "interplay-tmp", "mountPath": "/tmp"},
        {"name": "interplay-shm", "mountPath": "/dev/shm"},
    ]
    for volume in pod.volumes:
        volumes.append(_claim(f"mode-{volume.name}", volume.claim_name))
        mounts.append(
            {
                "name": f"mode-{volume.name}",
                "mountPath": volume.mount_path,
                **({"readOnly": True} if volume.read_only else {}),
            }
        )
    data = dict.fromkeys(_data_mounts(request.plan))
    names = {claim: f"data-{i}" for i, claim in enumerate(dict.fromkeys(c for c, _, _ in data))}
    volumes += [_claim(name, claim) for claim, name in names.items()]
    for claim, inside, where in data:
        sub = {"subPath": inside} if inside else {}
        mounts.append({"name": names[claim], "mountPath": where, "readOnly": True, **sub})
    if request.spec.outputs_claim:
        volumes.append(_claim(OUTPUTS_VOLUME, request.spec.outputs_claim))
        # A folder per ModelRun: its next attempt finds the checkpoints, another model does not.
        mounts.append({"name": OUTPUTS_VOLUME, "mountPath": OUTPUT_ROOT, "subPath": request.name})
    return volumes, mounts


def _claim(name: str, claim: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def _data_mounts(plan: Plan) -> Iterable[tuple[str, str, str]]:
    for dataset in plan.datasets:
        folder = dataset.spec.mounted
        if folder is not None and folder.claim_name is not None:
            yield folder.claim_name, folder.sub_path or "", folder.path

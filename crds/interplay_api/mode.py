"""Mode: how to run. It shapes pods, so it is the admin's, and it cannot say anything unsafe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, LabelKey, Labels, Name
from .plan import RunSettings
from .rules import Distinct, Keyed

__all__ = ["EnvVar", "ModeSpec", "ModeVolume", "PodShape", "Resources", "Toleration"]

Quantity = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=32),
]
ResourceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9./-]*[a-z0-9])?$", max_length=100)
]
ResourceList = Annotated[dict[ResourceName, Quantity], Field(max_length=16)]
Image = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", max_length=500)
]


class Resources(ApiModel):
    """Requests and limits of the runner container."""

    requests: ResourceList | None = Field(None, description="What the scheduler reserves.")
    limits: ResourceList | None = Field(None, description="What the kubelet enforces.")


class EnvVar(ApiModel):
    """One environment variable of the runner."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)] = (
        Field(description="Name.")
    )
    value: Annotated[str, StringConstraints(max_length=1024)] = Field(
        "", description="Value, as it is: $(NAME) is no reference."
    )


class ModeVolume(ApiModel):
    """A claim that every runner of this Mode mounts."""

    name: Annotated[
        str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$", max_length=42)
    ] = Field(description="Volume name.")
    claim_name: Name = Field(description="PersistentVolumeClaim in the Evaluation's namespace.")
    mount_path: Annotated[
        str, StringConstraints(pattern=r"^/[A-Za-z0-9._/-]+$", max_length=500)
    ] = Field(description="Where it is mounted.")
    read_only: bool = Field(True, description="Mounted read-only unless false.")


class Toleration(ApiModel):
    """A taint that the runner tolerates."""

    key: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        None, description="Taint key; empty with Exists means every taint."
    )
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How to compare.")
    value: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        None, description="Taint value for Equal."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Taint effect; empty means all."
    )


class PodShape(ApiModel):
    """The part of a Mode that becomes the pod; copied into each ModelRun, so frozen with it."""

    rules = (Distinct("volumes", "mount_path"),)

    image: Image | None = Field(
        None, description="Runner image; the operator's default when empty. Pin it by digest."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When the kubelet pulls."
    )
    image_pull_secrets: Annotated[list[Name], Field(max_length=8)] = Field(
        default_factory=list, description="Secrets for the registry."
    )
    resources: Resources = Field(default_factory=lambda: Resources(), description="Resources.")
    gpus: int = Field(0, ge=0, le=16, description="GPUs per model.")
    gpu_resource: ResourceName = Field("nvidia.com/gpu", description="Name of the GPU resource.")
    node_selector: Labels = Field(default_factory=dict, description="Labels a node must have.")
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = Field(
        default_factory=list, description="Taints that are tolerated."
    )
    priority_class_name: Name | None = Field(None, description="PriorityClass of the pod.")
    runtime_class_name: Name | None = Field(None, description="RuntimeClass of the pod.")
    service_account_name: Name | None = Field(
        None, description="Service account; its token is never mounted."
    )
    fs_group: int | None = Field(None, ge=1, le=2**31 - 1, description="Group of mounted claims.")
    pod_labels: Labels = Field(default_factory=dict, description="More labels of the pod.")
    pod_annotations: Annotated[
        dict[LabelKey, Annotated[str, StringConstraints(max_length=1024)]],
        Field(max_length=16),
    ] = Field(default_factory=dict, description="More annotations of the pod.")
    volumes: Annotated[list[ModeVolume], Field(max_length=16), Keyed("name")] = Field(
        default_factory=list, description="Claims to mount."
    )
    env: Annotated[list[EnvVar], Field(max_length=64), Keyed("name")] = Field(
        default_factory=list, description="Environment of the runner."
    )
    shm_size: Quantity = Field("256Mi", description="Size of /dev/shm, from memory.")
    queue_name: Name | None = Field(None, description="Kueue queue; admission is then Kueue's.")
    max_disruptions: int = Field(
        20, ge=0, le=100, description="Evictions and preemptions that do not count as failures."
    )


class ModeSpec(PodShape, RunSettings):
    """How to run: the pod's shape, and the settings of the computation."""

    allowed_namespaces: Annotated[list[Name], Field(max_length=64)] | None = Field(
        None, description="Namespaces that may use it; all when empty."
    )

    def pod(self) -> PodShape:
        """The pod's part alone."""
        return PodShape.model_validate(self.model_dump(include=set(PodShape.model_fields)))

"""The kinds that the operator touches, and where the API serves them."""

from __future__ import annotations

from dataclasses import dataclass

from interplay_api.constants import API_VERSION

__all__ = [
    "CLAIMS",
    "EVALUATIONS",
    "EVENTS",
    "JOBS",
    "PODS",
    "RUNS",
    "Resource",
    "library_resource",
]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind and where the API serves it."""

    api_version: str
    plural: str
    kind: str

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """Path of a collection, an object or a subresource."""
        root = "/apis" if "/" in self.api_version else "/api"
        parts = [root, self.api_version, *(["namespaces", namespace] if namespace else [])]
        return "/".join([*parts, self.plural, *([name] if name else []), *([sub] if sub else [])])


EVALUATIONS = Resource(API_VERSION, "evaluations", "Evaluation")
RUNS = Resource(API_VERSION, "modelruns", "ModelRun")
JOBS = Resource("batch/v1", "jobs", "Job")
PODS = Resource("v1", "pods", "Pod")
EVENTS = Resource("v1", "events", "Event")
CLAIMS = Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def library_resource(kind: str) -> Resource:
    """Where a library kind is served."""
    return Resource(API_VERSION, f"{kind.lower()}s", kind)

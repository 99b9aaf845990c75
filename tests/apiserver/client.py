"""A small client of the Kubernetes API for tests: dicts in, dicts out, nothing hidden."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import urllib3

__all__ = ["ApiError", "Client", "Object"]

Object = dict[str, Any]
FIELD_MANAGER = "tests"


class ApiError(Exception):
    """What the API server answered instead of an object."""

    def __init__(self, status: int, body: Object) -> None:
        self.status = status
        self.reason = str(body.get("reason", ""))
        self.message = str(body.get("message", ""))
        super().__init__(f"{status} {self.reason}: {self.message}")


class Client:
    """One user of one API server. Kinds are looked up by discovery, so that new ones just work."""

    def __init__(self, url: str, ca: str, token: str) -> None:
        self.url, self.ca, self.token = url, ca, token
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(ca_certs=ca, retries=False, timeout=60)
        self._resources: dict[tuple[str, str], Object] = {}

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Object:
        """One request; raises ApiError above 299."""
        response = self._pool.request(
            method,
            self.url + path + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else json.dumps(body).encode(),
            headers={**self._headers, "Content-Type": content_type, "Accept": accept},
        )
        try:
            answer: Object = json.loads(response.data)
        except ValueError:
            answer = {"message": response.data.decode(errors="replace")}
        if response.status > 299:
            raise ApiError(response.status, answer)
        return answer

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Path of a collection, or of one object."""
        root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if (api_version, kind) not in self._resources:
            for item in self.request("GET", root)["resources"]:
                if "/" not in item["name"]:
                    self._resources[api_version, item["kind"]] = item
        found = self._resources[api_version, kind]
        middle = f"/namespaces/{namespace}" if found["namespaced"] and namespace else ""
        return f"{root}{middle}/{found['name']}" + (f"/{name}" if name else "")

    def path_of(self, item: Object) -> str:
        """Path of the object that a manifest speaks of."""
        meta = item["metadata"]
        return self.path(
            item["apiVersion"], item["kind"], meta.get("namespace", ""), meta.get("name", "")
        )

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object:
        """One object."""
        return self.request("GET", self.path(api_version, kind, namespace, name))

    def list(self, api_version: str, kind: str, namespace: str = "", **query: str) -> list[Object]:
        """All objects of a kind; query takes labelSelector and fieldSelector."""
        items: list[Object] = self.request("GET", self.path(api_version, kind, namespace), **query)[
            "items"
        ]
        return items

    def create(self, item: Object, *, dry_run: bool = False) -> Object:
        """Create with strict field validation, as kubectl does."""
        collection = self.path_of({**item, "metadata": {**item["metadata"], "name": ""}})
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self.request("POST", collection, item, **query)

    def replace(self, item: Object, subresource: str = "") -> Object:
        """Replace the object, or its status; a resourceVersion in it is held against the server."""
        path = self.path_of(item) + (f"/{subresource}" if subresource else "")
        return self.request("PUT", path, item, fieldValidation="Strict")

    def apply(self, item: Object, *, manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply with strict field validation."""
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": "true"}
        kind = "application/apply-patch+yaml"
        return self.request("PATCH", self.path_of(item), item, kind, **query)

    def patch(self, item: Object, change: object, subresource: str = "") -> Object:
        """JSON merge patch, or JSON patch where the change is a list."""
        kind = "json-patch" if isinstance(change, list) else "merge-patch"
        path = self.path_of(item) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, change, content_type=f"application/{kind}+json")

    def delete(self, item: Object, propagation: str = "Background") -> Object:
        """Delete one object."""
        return self.request("DELETE", self.path_of(item), {"propagationPolicy": propagation})

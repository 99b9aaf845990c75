"""The cache: what the watches told us, as indexed records; reconcilers read nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from interplay_api.catalog import LIBRARY_KINDS, Catalog, Layer, builtin_layer
from interplay_api.names import digest

from .records import EvaluationRecord, LibraryRecord, Meta, RunRecord
from .workloads import JobRecord, PodRecord

__all__ = ["Cache", "Library", "Store"]

MAX_TOMBSTONES = 10_000

ObjectKey = tuple[str, str]


class _Record(Protocol):
    @property
    def meta(self) -> Meta: ...


R = TypeVar("R", bound=_Record)
Listener = Callable[[R | None, R | None], None]


class Store(Generic[R]):
    """All records of one kind, by namespace and name, and by what the indexes say."""

    def __init__(
        self,
        project: Callable[[Mapping[str, Any]], R],
        **indexes: Callable[[R], Iterable[Hashable]],
    ) -> None:
        self.project = project
        self._items: dict[ObjectKey, R] = {}
        self._indexes = indexes
        self._tables: dict[str, dict[Hashable, tuple[R, ...]]] = {n: {} for n in indexes}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self.listener: Listener[R] = lambda _old, _new: None

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._items.values()))

    def get(self, namespace: str, name: str) -> R | None:
        """The record of one object."""
        return self._items.get((namespace, name))

    def by(self, index: str, value: Hashable) -> list[R]:
        """The records that an index has under a value."""
        return list(self._tables[index].get(value, ()))

    def knows(self, item: Mapping[str, Any]) -> bool:
        """Whether this is no news: mostly the echo of a write of our own."""
        meta = item["metadata"]
        known = self._items.get((meta.get("namespace", ""), meta["name"]))
        return known is not None and known.meta.version >= int(meta["resourceVersion"])

    def apply(self, record: R) -> None:
        """Take what is told; older news than what is known is dropped.

        A late answer or a list that was being read may tell of what has ended since: a uid that
        is known to be gone does not come back.
        """
        if record.meta.uid in self._gone:
            return
        known = self._items.get(record.meta.key)
        if known is None or known.meta.version < record.meta.version:
            self._set(record)

    def note(self, item: Mapping[str, Any]) -> R:
        """Take the answer to a write of our own, so that the next pass sees it at once."""
        record = self.project(item)
        self.apply(record)
        return record

    def remove(self, key: ObjectKey, uid: str) -> None:
        """The object is gone; a newer one of the same name is not."""
        known = self._items.get(key)
        self._bury(uid)
        if known is not None and known.meta.uid == uid:
            self._drop(known)

    def replace(self, records: Iterable[R], version: int, namespace: str = "") -> None:
        """Take a whole list, of one namespace or of all: what it lacks is gone.

        What is newer than the list was made by a later write and stays.
        """
        listed = {r.meta.key: r for r in records}
        for known in list(self._items.values()):
            mine = not namespace or known.meta.namespace == namespace
            if mine and known.meta.key not in listed and known.meta.version <= version:
                self._bury(known.meta.uid)
                self._drop(known)
        for record in listed.values():
            self.apply(record)

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > MAX_TOMBSTONES:
            self._gone.popitem(last=False)

    def _set(self, record: R) -> None:
        old = self._items.get(record.meta.key)
        if old is not None:
            self._unindex(old)
        self._items[record.meta.key] = record
        for name, values in self._indexes.items():
            table = self._tables[name]
            for value in values(record):
                table[value] = (*table.get(value, ()), record)
        self.listener(old, record)

    def _drop(self, record: R) -> None:
        self._unindex(record)
        del self._items[record.meta.key]
        self.listener(record, None)

    def _unindex(self, record: R) -> None:
        for name, values in self._indexes.items():
            table = self._tables[name]
            for value in values(record):
                # Tuples: most hold one record, and a dict for each would be half of the memory.
                rest = tuple(r for r in table[value] if r is not record)
                if rest:
                    table[value] = rest
                else:
                    del table[value]


class Library:
    """Library objects in layers, as catalogs that are made anew only when something changed."""

    def __init__(self, namespace: str, image: str) -> None:
        self.namespace = namespace
        self.stores: dict[str, Store[LibraryRecord]] = {
            kind: Store(partial(LibraryRecord.of, kind)) for kind in LIBRARY_KINDS
        }
        self._builtin = builtin_layer()
        entries = {f"{k}/{n}": dict(e.spec) for (k, n), e in self._builtin.entries.items()}
        self._base = digest({"entries": entries, "image": image})
        self._made: dict[str, tuple[Catalog, str]] = {}
        self.version = 0
        self.listener: Callable[[str], None] = lambda _namespace: None
        for store in self.stores.values():
            store.listener = self._changed

    def catalog(self, namespace: str) -> Catalog:
        """What names mean in a namespace."""
        return self._of(namespace)[0]

    def modes(self) -> Catalog:
        """What a Mode's name means: a Mode shapes pods, so only the administrator's count."""
        return self.catalog(self.namespace)

    def digest(self, namespace: str) -> str:
        """Digest of all that a plan in this namespace can follow from, runner image included."""
        return self._of(namespace)[1]

    def _of(self, namespace: str) -> tuple[Catalog, str]:
        if namespace not in self._made:
            origins = dict.fromkeys((namespace, self.namespace))
            layers, digests = [], {}
            for origin in origins:
                records = [r for s in self.stores.values() for r in s if r.meta.namespace == origin]
                layers.append(Layer(origin, (r.entry for r in records)))
                digests[origin] = sorted((r.entry.kind, r.entry.name, r.digest) for r in records)
            catalog = Catalog([*layers, self._builtin])
            self._made[namespace] = catalog, digest([self._base, list(digests.values())])
        return self._made[namespace]

    def _changed(self, old: LibraryRecord | None, new: LibraryRecord | None) -> None:
        if old is not None and new is not None and old.digest == new.digest:
            return
        self.version += 1
        self._made.clear()
        record = new or old
        assert record is not None
        self.listener(record.meta.namespace)


class Cache:
    """Everything known of the cluster."""

    def __init__(self, namespace: str, image: str) -> None:
        self.library = Library(namespace, image)
        self.evaluations: Store[EvaluationRecord] = Store(EvaluationRecord.of)
        self.runs: Store[RunRecord] = Store(
            RunRecord.of,
            uid=lambda r: [r.meta.uid],
            evaluation=lambda r: [r.meta.owner_uid],
            content=lambda r: [(r.meta.namespace, key) for key in r.done_keys],
        )
        self.jobs: Store[JobRecord] = Store(JobRecord.of, run=lambda r: [r.meta.owner_uid])
        self.pods: Store[PodRecord] = Store(
            PodRecord.of, run=lambda r: [r.run_uid], job=lambda r: [r.meta.owner_uid]
        )

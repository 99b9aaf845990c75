"""S03: words of users where somebody might expand, run or print them: pods, conditions, metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from interplay_api.constants import (
    ANNOTATION_PLAN,
    ANNOTATION_PLAN_DIGEST,
    API_VERSION,
)
from interplay_api.names import digest
from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import condition, model
from tests.faults.expansion import environment
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.served import Served
from tests.faults.specs import POISON
from tests.faults.truth import message_of
from tests.faults.world import SYSTEM, World

__all__ = ["templates"]

EDGE = 1024


def _mode(text: str) -> Object:
    """Every free text that a Mode has."""
    return {
        "env": [{"name": "SECRET", "value": "s3cr3t"}, {"name": "SAID", "value": text}],
        "podAnnotations": {"example.org/note": text},
    }


def _create(served: Served, kind: str, name: str, spec: Object, namespace: str = "") -> None:
    """As JSON: YAML, which an apply is sent as, does not take every character."""
    meta = {"name": name, "namespace": namespace or served.namespaces[0]}
    item = {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}
    served.world.server.admin.create(item)


def _apply(served: Served, number: int, text: str) -> None:
    """One Evaluation that says it everywhere, and its library."""
    dataset = {
        "embedded": {"name": "digits"},
        "revision": text[:128],
        "labelMap": {text[:253]: 0},
        "description": text,
    }
    measurement = {
        "category": "benefit",
        "entryPoint": "top1",
        "datasets": [f"d{number}"],
        "parameters": {"said": text, "more": {"of": [text]}},
        "description": text,
    }
    chosen = model(f"x{number}")
    chosen["inline"] |= {"args": {"said": text}, "description": text}
    evaluation = {
        "models": [chosen],
        "measurements": {"names": [f"m{number}"]},
        "mode": _mode_name(served, number),
        "backoffLimit": 0,
    }
    _create(served, "Mode", _mode_name(served, number), _mode(text), SYSTEM)
    _create(served, "Dataset", f"d{number}", dataset)
    _create(served, "Measurement", f"m{number}", measurement)
    _create(served, "Evaluation", f"e{number}", evaluation)


def _mode_name(served: Served, number: int) -> str:
    return f"{served.namespaces[0]}-{number}"


def _pod_problems(job: Object, text: str) -> Iterator[str]:
    """What of the text a kubelet, a shell or a downward mount would change."""
    template = job["spec"]["template"]
    (container,) = template["spec"]["containers"]
    if "command" in container or template["spec"].get("initContainers"):
        yield "I11: a command"
    sha = job["metadata"]["annotations"][ANNOTATION_PLAN_DIGEST]
    if container["args"] != ["--plan", "/etc/interplay/plan.json", "--plan-digest", sha]:
        yield f"I11: args {container['args']}"
    seen = environment(container["env"])
    if seen["SAID"] != text:
        yield f"I11: the runner sees {seen['SAID']!r}"
    if template["metadata"]["annotations"].get("example.org/note") != text:
        yield "I3: the annotation is another"
    plan = json.loads(template["metadata"]["annotations"][ANNOTATION_PLAN])
    (cell,) = plan["cells"]
    if cell["parameters"] != {"said": text, "more": {"of": [text]}} or digest(plan) != sha:
        yield "I3: the plan says something else"
    if plan["model"]["spec"]["args"] != {"said": text}:
        yield "I3: the arguments are others"
    others = {k: v for k, v in template["spec"].items() if k != "containers"}
    if text and any(text in word for word in _words_in(others)):
        yield "I11: the text is in the pod's spec"


def _words_in(item: Any) -> Iterator[str]:
    """Every text in it: `true` as a text is not the truth of a field."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, Mapping):
        for key, value in item.items():
            yield key
            yield from _words_in(value)
    elif isinstance(item, list):
        for value in item:
            yield from _words_in(value)


def _die(served: Served, job: Object, text: str) -> None:
    """A pod that waits, then ends with the text as its last words."""
    hand = served.hand
    pod = hand.pod(job)
    state = {"waiting": {"reason": "ErrImagePull", "message": text}}
    hand.set_pod(pod, "Pending", state)
    served.settles(lambda: "ImagePull" in str(_words(served, job)), 10)
    hand.exits(pod, 1, f"interplay: {text}\ninterplay: Bad: {text}" if text else "")
    try:
        hand.end_job(job, failed="BackoffLimitExceeded")
    except ApiError as error:
        if error.status != 404:
            raise


def _words(served: Served, job: Object) -> list[str]:
    """Every message of the ModelRun, of its Evaluation, and of the Events about them."""
    name = job["metadata"]["annotations"]["interplay.dev/evaluation"]
    runs = [r for r in served.hand.runs() if r["spec"]["evaluation"] == name]
    items = [served.hand.get(name), *runs]
    said = [c["message"] for i in items for c in i.get("status", {}).get("conditions", ())]
    admin, names = served.world.server.admin, {i["metadata"]["name"] for i in items}
    events = admin.list("v1", "Event", served.namespaces[0])
    return said + [e["message"] for e in events if e["involvedObject"]["name"] in names]


def _said_problems(served: Served, job: Object) -> Iterator[str]:
    for words in _words(served, job):
        if not words.isprintable() or len(words) > EDGE:
            yield f"I4: a message says {words[:200]!r}"


def _page_problems(served: Served, evaluations: set[str]) -> Iterator[str]:
    """/metrics as Prometheus reads it: no series that nobody meant."""
    for family in served.families().values():
        for sample in family.samples:
            label = sample.labels.get("evaluation")
            here = sample.labels.get("namespace") == served.namespaces[0]
            if here and label not in evaluations:
                yield f"I3: a series of {label!r}"
    for line in served.log.read_text(errors="replace").splitlines():
        if not line.isprintable() or line.startswith(("interplay_value", "lines")):
            yield f"I4: the log has {line[:200]!r}"


@campaign("S03", "Texts that somebody might expand, run or print", quick=1, full=2, kind="input")
def templates(world: World, round_: Round) -> list[Fault]:
    """Each text as parameters, as a Mode's words, and as the last words of a pod."""
    texts = [*POISON, *(_mixed(round_) for _ in range(3))]
    faults = []
    with Served(world) as served:
        for number, text in enumerate(texts):
            _apply(served, number, text)
        for number, text in enumerate(texts):
            faults += [round_.fault(f"{w}: {text[:60]!r}") for w in ("plan and pod", "last words")]
            job = served.hand.job(1, evaluation=f"e{number}")
            faults[-2].violations += _pod_problems(job, text)
            if number % 2:
                _die(served, job, text)
                served.settles(lambda n=number: _ended(served, f"e{n}"))  # type: ignore[misc]
            else:
                pod = served.hand.running(served.hand.pod(job))
                served.hand.exits(pod, 0, message_of(job, pod))
            faults[-1].violations += _said_problems(served, job)
        names = {f"e{n}" for n in range(len(texts))}
        served.settles(lambda: all(_ended(served, n) for n in names))
        faults.append(round_.fault("metrics and log"))
        faults[-1].violations += _page_problems(served, names)
        faults[-1].violations += [f"I8: {p}" for p in served.problems()]
        for number in range(len(texts)):
            served.hand.delete(f"e{number}")
            meta = {"name": _mode_name(served, number), "namespace": SYSTEM}
            world.server.admin.delete({"apiVersion": API_VERSION, "kind": "Mode", "metadata": meta})
    return faults


def _ended(served: Served, name: str) -> bool:
    item = served.hand.get(name)
    return any(condition(item, t).get("status") == "True" for t in ("Complete", "Failed"))


def _mixed(round_: Round) -> str:
    return "".join(round_.dice.choice(POISON)[:200] for _ in range(3))

"""P01: a start among thousands of objects, also with every limit of the operator set to 1."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from interplay_api.constants import LABEL_MODELRUN_UID
from tests.apiserver.client import Object
from tests.apiserver.operator import IMAGE, Hand
from tests.faults.life import live, spec_of
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import ACCOUNT, World

__all__ = ["crowded"]

FEW, MANY = 300, 3000
"""Evaluations, Jobs and pods each; with limits of 1, lists come in pages of one object."""
STAMP = "2026-01-01T00:00:00Z"


@campaign("P01", "Start among many objects", quick=2, full=5, width=1)
def crowded(world: World, round_: Round) -> list[Fault]:
    """It becomes ready, writes nothing about what is final, and serves who comes next."""
    tiny = round_.number % 2 == 1
    count = MANY if round_.number >= 2 and not tiny else FEW
    env = ["FAULTS_LIMITS=1"] if tiny else []
    crowd = f"crowd-{secrets.token_hex(4)}"
    admin = world.server.admin
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": crowd}})
    hand = Hand(admin, crowd)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(_fill, hand), range(count)))
    module = "tests.faults.odd_operator"
    rig = Rig(world, round_, module=module, env=env, beside=[crowd])
    rig.inject(f"a start with 3 x {count} objects{', every limit 1' if tiny else ''}")
    with rig:
        rig.converge("ready", list)
        rig.quiet()
        live(rig)
        for wrote in world.audit.of(crowd, ACCOUNT):
            rig.violate("I6", f"{wrote.verb} {wrote.resource} {wrote.name} among the crowd")
    return rig.verdict()


def _fill(hand: Hand, number: int) -> None:
    """A finished Evaluation, and a Job and a pod whose ModelRun nobody knows."""
    admin = hand.admin
    made = hand.evaluation(f"old{number}", **spec_of(["a"]))
    done = {"type": "Complete", "status": "True", "reason": "Done", "message": ""}
    status = {
        "observedGeneration": 1,
        "conditions": [{**done, "observedGeneration": 1, "lastTransitionTime": STAMP}],
        "models": {"total": 0, "pending": 0, "running": 0, "succeeded": 0, "failed": 0},
        "completionTime": STAMP,
    }
    admin.replace({**made, "status": status}, "status")
    labels = {LABEL_MODELRUN_UID: secrets.token_hex(8)}
    meta: Object = {"namespace": hand.namespace, "name": f"old{number}", "labels": labels}
    container = {"name": "runner", "image": IMAGE}
    pod = {"restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta}
    admin.create({**job, "spec": {"suspend": True, "template": template}})
    admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod})

"""The test server itself: it leaves nothing behind, survives a crash, and holds users apart."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interplay_api.constants import API_VERSION, GROUP
from tests.apiserver.client import ApiError
from tests.apiserver.server import ROOT, ApiServer

pytestmark = pytest.mark.apiserver
PARENT = """
import signal, sys, time
from pathlib import Path
from tests.apiserver.processes import Process
# Whoever runs the tests in the background may have told all their children to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
child = Process(["sleep", "600"], Path(sys.argv[1]))
child.start()
print(child.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_run(tmp_path: Path, number: signal.Signals) -> None:
    args = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(
        args, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.send_signal(number)
        parent.wait()
    deadline = time.monotonic() + 5
    while _alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def test_what_was_stored_survives_a_crash(server: ApiServer, namespace: str) -> None:
    mode = {"apiVersion": API_VERSION, "kind": "Mode", "spec": {}}
    stored = server.admin.create({**mode, "metadata": {"name": "m", "namespace": namespace}})
    before = server.apiserver.pid
    server.restart()
    assert server.apiserver.pid != before
    assert server.admin.get(API_VERSION, "Mode", namespace, "m") == stored


def test_an_account_may_do_what_its_rules_say_and_is_named_in_the_log(
    server: ApiServer, namespace: str
) -> None:
    rules = [{"apiGroups": [GROUP], "resources": ["modes"], "verbs": ["create", "get"]}]
    config = json.loads(server.service_account(namespace, "runner", rules).read_text())
    user = server.client(config["users"][0]["user"]["token"])
    mode = {
        "apiVersion": API_VERSION,
        "kind": "Mode",
        "metadata": {"name": "m", "namespace": namespace},
        "spec": {},
    }
    user.create(mode)
    with pytest.raises(ApiError, match="403 Forbidden"):
        user.delete(mode)
    user.close()
    name = f"system:serviceaccount:{namespace}:runner"
    assert [(w.verb, w.resource, w.name, w.code) for w in server.writes(user=name)] == [
        ("create", "modes", "m", 201),
        ("delete", "modes", "m", 403),
    ]

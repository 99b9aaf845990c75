"""Weights are taken for hostile: verified, never run, and refused in one line."""

from __future__ import annotations

import io
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from interplay_api.library import Checkpoint
from interplay_runner.errors import ModelError, RunnerError, UnsafeCheckpointError
from interplay_runner.models import architecture, checkpoint

from .builders import sha256

SEED = 20


def state() -> dict[str, Tensor]:
    return {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


def torch_saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize(
    "data",
    [
        save(state()),
        torch_saved(state()),
        torch_saved({"state_dict": {f"module.{k}": v for k, v in state().items()}, "epoch": 3}),
        torch_saved({"model": {f"_orig_mod.{k}": v for k, v in state().items()}}),
    ],
    ids=["safetensors", "torch", "wrapped", "compiled"],
)
def test_formats(data: bytes) -> None:
    parsed = checkpoint.parse(data)
    assert parsed.keys() == state().keys()
    assert all(torch.equal(parsed[k], v) for k, v in state().items())


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(UnsafeCheckpointError, match="it would have to run code") as caught:
        checkpoint.parse(torch_saved({"weight": Evil(trace)}))
    assert caught.value.exit_code == 67
    assert not trace.exists()


def test_a_compressed_archive_is_refused() -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_saved(state()))) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(UnsafeCheckpointError, match="compressed archive"):
        checkpoint.parse(buffer.getvalue())


def test_torchscript_is_refused() -> None:
    buffer = io.BytesIO(torch_saved(state()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(UnsafeCheckpointError, match="TorchScript"):
        checkpoint.parse(buffer.getvalue())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "holds no weights"),
        ([1, 2], "holds no weights"),
        ({"weight": torch.ones(1), "epoch": 3}, "'epoch' is not a tensor"),
    ],
)
def test_what_is_no_weights(value: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        checkpoint.parse(torch_saved(value))


@pytest.mark.parametrize("data", [save(state()), torch_saved(state())], ids=["safe", "torch"])
def test_damage_is_an_error_of_one_line(data: bytes) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    for _ in range(60):
        damaged = bytearray(data[: rng.randrange(len(data))])
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        with pytest.raises(RunnerError) as caught:
            checkpoint.parse(bytes(damaged))
        assert "\n" not in str(caught.value)


def test_the_digest_is_checked_before_anything_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(torch_saved(state()))
    monkeypatch.setattr(checkpoint, "parse", lambda _: pytest.fail("parsed"))
    wrong = Checkpoint(file=str(path), sha256="0" * 64)
    with pytest.raises(ModelError, match=f"the file has {sha256(path)}"):
        checkpoint.read_checkpoint(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "1 tensors are missing, one is bias"),
        ({"extra": torch.ones(1)}, "1 tensors are unknown to the architecture, one is extra"),
        ({"bias": torch.ones(3)}, "1 tensors have another shape than in the architecture"),
    ],
)
def test_weights_must_fit(change: dict[str, Tensor | None], message: str) -> None:
    given = {k: v for k, v in {**state(), **change}.items() if v is not None}
    with pytest.raises(ModelError, match=message):
        architecture.load_weights(nn.Linear(3, 2), given)


def test_identity_of_weights_without_a_file() -> None:
    one = checkpoint.tensors_sha256(state())
    assert checkpoint.tensors_sha256(dict(reversed(state().items()))) == one
    assert checkpoint.tensors_sha256({**state(), "bias": torch.zeros(2)}) != one
    half = {k: v.to(torch.bfloat16) for k, v in state().items()}
    assert checkpoint.tensors_sha256(half) != one
    assert checkpoint.tensors_sha256({"n": torch.tensor(3)}) != one


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("https://127.0.0.1:9/w", ConnectionError, "spec.checkpoint.url: URLError"),
        ("http://127.0.0.1:9/w", ModelError, "only https"),
    ],
)
def test_addresses(url: str, error: type[Exception], message: str) -> None:
    place = Checkpoint.model_construct(url=url, file=None, embedded=None, sha256="0" * 64)
    with pytest.raises(error, match=message):
        checkpoint.read_checkpoint(place)

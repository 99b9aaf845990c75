"""Weights by digest: fetched, verified, and parsed without running anything that lies in them.

Order: safetensors, then `torch.load(weights_only=True)`, then refusal. The digest is checked on the
very bytes that are parsed, and before they are.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interplay_runner.errors import ModelError, UnsafeCheckpointError, one_line

if TYPE_CHECKING:
    from interplay_api.library import Checkpoint

__all__ = ["StateDict", "parse", "read_checkpoint", "tensors_sha256"]

StateDict = Mapping[str, Tensor]

MAX_BYTES = 16 * 2**30
TIMEOUT = 60.0
CHUNK = 2**20
MAX_SAFETENSORS_HEADER = 100_000_000
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts keep the weights; averaged ones first, as timm does."""
PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
"""Left in the names by torch.compile and by data parallel training, in either order."""


def read_checkpoint(checkpoint: Checkpoint) -> StateDict:
    """The weights that a Model names.

    Raises ModelError, UnsafeCheckpointError, or ConnectionError while a host cannot be reached.
    """
    data = _read(checkpoint)
    found = hashlib.sha256(data).hexdigest()
    if found != checkpoint.sha256:
        raise ModelError(f"spec.checkpoint.sha256: the file has {found}")
    return parse(data)


def tensors_sha256(state: StateDict) -> str:
    """SHA-256 over names, types, shapes and bytes: identity of weights that came without a file."""
    whole = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        whole.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        whole.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _read(checkpoint: Checkpoint) -> bytes:
    if checkpoint.url is not None:
        return _download(checkpoint.url)
    if checkpoint.file is not None:
        path, field = Path(checkpoint.file), "spec.checkpoint.file"
    else:
        path, field = _embedded(checkpoint.embedded or ""), "spec.checkpoint.embedded"
    if not path.is_file():
        raise ModelError(f"{field}: no file {checkpoint.file or checkpoint.embedded}")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f"{field}: larger than {MAX_BYTES} bytes")
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise ModelError(f"{field}: {one_line(error)}") from error


def _embedded(name: str) -> Path:
    folder = Path(str(resources.files("interplay_runner"))) / "zoo" / "weights"
    path = folder / f"{name}.safetensors"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"spec.checkpoint.embedded: {name} leaves the folder of the weights")
    return path


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """A redirect may go to another host, never to plain http or to a file."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if not newurl.startswith("https://"):
            raise ModelError("spec.checkpoint.url: redirected to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str) -> bytes:
    if not url.startswith("https://"):
        raise ModelError("spec.checkpoint.url: only https")
    opener = urllib.request.build_opener(_HttpsOnly)
    data = bytearray()
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            while chunk := response.read(CHUNK):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise ModelError(f"spec.checkpoint.url: larger than {MAX_BYTES} bytes")
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code not in (408, 429):
            raise ModelError(f"spec.checkpoint.url: {one_line(error)}") from error
        raise ConnectionError(f"spec.checkpoint.url: {one_line(error)}") from error
    except (OSError, ValueError) as error:
        raise ConnectionError(f"spec.checkpoint.url: {one_line(error)}") from error
    return bytes(data)


def parse(data: bytes) -> StateDict:
    """Tensors by name from the bytes of a checkpoint file.

    Wrappers and prefixes that training scripts leave are taken off.
    """
    loaded = _parse_safetensors(data) if _is_safetensors(data) else _parse_torch(data)
    for key in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError("spec.checkpoint: the file holds no weights")
    state: dict[str, Tensor] = {}
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ModelError(f"spec.checkpoint: {str(name)[:80]!r} is not a tensor")
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        state[name] = tensor
    return state


def _is_safetensors(data: bytes) -> bool:
    """A length of eight bytes, then JSON; no other format of weights begins so."""
    return len(data) > 9 and data[8:9] == b"{" and data[:2] != b"PK"


def _parse_safetensors(data: bytes) -> object:
    import safetensors
    from safetensors.torch import load

    (header,) = struct.unpack("<Q", data[:8])
    if header > min(len(data), MAX_SAFETENSORS_HEADER):
        raise ModelError("spec.checkpoint: the safetensors header is longer than the file")
    try:
        return load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"spec.checkpoint: {one_line(error)}") from error


def _parse_torch(data: bytes) -> object:
    _check_archive(data)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpointError(
            "spec.checkpoint: neither safetensors nor plain tensors; it would have to run code"
        ) from error
    except Exception as error:  # on hostile bytes the parser may raise anything
        raise ModelError(f"spec.checkpoint: cannot be read: {one_line(error)}") from error


def _check_archive(data: bytes) -> None:
    """Refuse what torch.save never writes: compression (a bomb) and TorchScript (code)."""
    if not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"spec.checkpoint: cannot be read: {one_line(error)}") from error
    if any(m.compress_type != zipfile.ZIP_STORED for m in members):
        raise UnsafeCheckpointError("spec.checkpoint: a compressed archive is refused")
    if any(m.filename.endswith("/constants.pkl") for m in members):
        raise UnsafeCheckpointError("spec.checkpoint: TorchScript is code and is refused")

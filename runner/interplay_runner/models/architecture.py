"""From a Model's spec to a module with weights: timm's registry, a hub, or a registered factory."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from torch import nn

from interplay_runner.errors import ModelError, UnsafeCheckpointError, one_line

from .arguments import check_arguments
from .checkpoint import StateDict, read_checkpoint, tensors_sha256

if TYPE_CHECKING:
    from interplay_api.library import HubModel, ModelSpec

__all__ = ["GROUP", "Built", "build", "create", "load_weights"]

GROUP = "interplay.models"
"""Entry points of users' own architectures: name -> factory(num_classes=, **args) -> nn.Module.

One that has `own_weights = True` makes a module that is complete without a checkpoint.
"""


@dataclass(frozen=True, slots=True)
class Built:
    """A module with its weights, in evaluation mode; no parameter asks for a gradient."""

    module: nn.Module
    weights_sha256: str


def build(spec: ModelSpec) -> Built:
    """Make the module that a spec describes. Raises as `load_model` does."""
    check_arguments(spec.args)
    arguments = dict(spec.args)
    if spec.num_classes is not None:
        arguments["num_classes"] = spec.num_classes
    # Weights first: a checkpoint that is refused needs no model built for it.
    state = read_checkpoint(spec.checkpoint) if spec.checkpoint is not None else None
    if spec.hub is not None:
        name = _hub_name(spec.hub)
        module = _create_timm("spec.hub", name, arguments, pretrained=state is None)
    else:
        module = create(spec.timm or "", arguments, pretrained=state is None)
    if state is not None:
        load_weights(module, state)
    module.eval().requires_grad_(False)
    digest = spec.checkpoint.sha256 if spec.checkpoint else tensors_sha256(module.state_dict())
    return Built(module, digest)


def create(name: str, arguments: dict[str, Any], *, pretrained: bool = False) -> nn.Module:
    """An architecture by name, timm's or registered; arguments are taken as checked."""
    import timm

    registered = {e.name: e for e in entry_points(group=GROUP)}
    if name in registered:
        return _create_registered(registered[name], arguments, pretrained=pretrained)
    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, [*registered, *timm.list_models()], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ModelError(f"spec.timm: no architecture is called {name}{hint}")
    if pretrained:
        _check_pretrained(name, arguments)
    return _create_timm("spec.timm", name, arguments, pretrained=pretrained)


def _create_timm(
    field: str, name: str, arguments: dict[str, Any], *, pretrained: bool
) -> nn.Module:
    import timm

    module: nn.Module = _guarded(
        field, lambda: timm.create_model(name, pretrained=pretrained, **arguments)
    )
    return module


def _create_registered(
    entry: EntryPoint, arguments: dict[str, Any], *, pretrained: bool
) -> nn.Module:
    import timm

    if timm.is_model(entry.name):
        raise ModelError(f"spec.timm: {entry.name} is timm's and also registered in {GROUP}")
    factory = _guarded("spec.timm", entry.load)
    if pretrained and not getattr(factory, "own_weights", False):
        raise ModelError(f"spec.checkpoint: {entry.name} has no weights of its own")
    module: object = _guarded("spec.timm", lambda: factory(**arguments))
    if not isinstance(module, nn.Module):
        raise ModelError(f"spec.timm: {entry.name} made no torch module")
    return module


def _check_pretrained(name: str, arguments: dict[str, Any]) -> None:
    """Pretrained weights must exist, and with this head: timm would leave a random one."""
    from timm.models import get_pretrained_cfg

    config = _guarded("spec.timm", lambda: get_pretrained_cfg(name))
    if config is None or not config.has_weights:
        raise ModelError(f"spec.timm: {name} has no pretrained weights; give a checkpoint")
    wanted = arguments.get("num_classes", config.num_classes)
    if wanted != config.num_classes:
        raise ModelError(
            f"spec.numClasses: the pretrained weights of {name} have {config.num_classes} classes"
        )


def _hub_name(hub: HubModel) -> str:
    """timm's name of a hub model; its config.json is a stranger's and passes the same checks."""
    from timm.models import load_model_config_from_hf

    name = f"{hub.id}@{hub.revision}"
    config, _, arguments = _guarded("spec.hub", lambda: load_model_config_from_hf(name))
    check_arguments(
        {k: v for k, v in arguments.items() if k != "num_classes"}, "spec.hub: model_args"
    )
    if config.get("custom_load"):
        raise UnsafeCheckpointError("spec.hub: its weights are not a plain state dict")
    return f"hf-hub:{name}"


def _guarded(field: str, make: Callable[[], Any]) -> Any:
    """Run timm's or a user's code; whatever it raises becomes one line that names the field."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return make()
    except ModelError:
        raise
    except OfflineModeIsEnabled as error:
        raise ModelError(f"{field}: the hub is switched off by HF_HUB_OFFLINE") from error
    except (LocalEntryNotFoundError, ConnectionError) as error:
        raise ConnectionError(
            f"{field}: the hub cannot be reached, and its cache here has no such file"
        ) from error
    except Exception as error:
        if isinstance(error.__cause__, pickle.UnpicklingError):
            raise UnsafeCheckpointError(f"{field}: its weights would have to run code") from error
        raise ModelError(f"{field}: {one_line(error)}") from error


def load_weights(module: nn.Module, state: StateDict) -> None:
    """Load every tensor under its name and shape, or say in one line what does not fit."""
    own = module.state_dict()
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    for names, what in (
        (own.keys() - state.keys(), "are missing"),
        (state.keys() - own.keys(), "are unknown to the architecture"),
        (shapes, "have another shape than in the architecture"),
    ):
        if names:
            first = sorted(names)[0][:80]
            raise ModelError(f"spec.checkpoint: {len(names)} tensors {what}, one is {first}")
    try:
        module.load_state_dict(state)
    except (RuntimeError, NotImplementedError) as error:
        raise ModelError(f"spec.checkpoint: {one_line(error)}") from error

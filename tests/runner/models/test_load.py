"""What a Model may ask for, and the one line that it gets where it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from interplay_api.plan import PlanDataset, PlanModel
from interplay_runner.errors import ModelError, PlanError
from interplay_runner.measurement import ModelInfo
from interplay_runner.models import architecture, check_classes, load_model

from .builders import plan_file, plan_model, seeded

ARGS = {"img_size": 32, "patch_size": 8, "in_chans": 1}
ZEROS = "0" * 64


def loading(**spec: Any) -> str:
    """The error's text."""
    with pytest.raises(ModelError) as caught:
        load_model(PlanModel.model_validate({"name": "m", "spec": spec}), "cpu", "fp32")
    text = str(caught.value)
    assert text.startswith("model m: ")
    assert "\n" not in text
    return text.removeprefix("model m: ")


def test_info_and_identity(tmp_path: Path) -> None:
    module = seeded("test_vit", **ARGS)
    model = plan_model("test_vit", module, tmp_path, args=ARGS)
    loaded = load_model(model, "auto" if not torch.cuda.is_available() else "cpu", "fp32")
    stages = {f"blocks.{i}": 64 for i in range(6)}
    assert loaded.network.info == ModelInfo(
        "m", 10, 64, (1, 32, 32), sum(p.numel() for p in module.parameters()), stages
    )
    assert loaded.weights_sha256 == model.spec.checkpoint.sha256  # type: ignore[union-attr]
    assert loaded.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"checkpoint_path": "x"}, "spec.args.checkpoint_path: this argument cannot be given here"),
        ({"pretrained_cfg": {"file": "x"}}, "spec.args.pretrained_cfg: this argument cannot"),
        ({"pretrained_cfg_overlay": {}}, "spec.args.pretrained_cfg_overlay: this argument cannot"),
        ({"num_classes": 3}, "spec.args.num_classes: this argument cannot be given here"),
        ({"scriptable": True}, "spec.args.scriptable: this argument cannot be given here"),
        ({"features_only": True}, "spec.args.features_only: this argument cannot be given here"),
        ({"act_layer": "/tmp/x.so"}, "spec.args.act_layer: '/tmp/x.so' is not a plain name"),
        ({"a": [{"b": "hf-hub:x/y"}]}, "spec.args.a[0].b: 'hf-hub:x/y' is not a plain name"),
        ({"colour": 1}, "spec.timm: TypeError: "),
        ({"in_chans": 2}, "spec.args.in_chans: 2 channels, not 1 or 3"),
    ],
)
def test_arguments(args: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    plan_model("test_resnet", seeded("test_resnet", **_known(args)), tmp_path)
    (tmp_path / "test_resnet.safetensors").rename(path)
    checkpoint = plan_file("test_resnet", path).spec.wire()["checkpoint"]
    text = loading(timm="test_resnet", numClasses=10, args=args, checkpoint=checkpoint)
    assert text.startswith(message)


def _known(args: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in args.items() if k == "in_chans"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"timm": "resnet19"}, "spec.timm: no architecture is called resnet19; did you mean "),
        ({"timm": "small_mixr"}, "did you mean small_mixer"),
        ({"timm": "resnet18.none"}, "spec.timm: RuntimeError: Invalid pretrained tag (none)"),
        ({"timm": "test_resnet", "numClasses": 7}, "spec.numClasses: the pretrained weights of"),
        ({"timm": "resnet18d_cifar"}, "spec.timm: no architecture is called"),
        ({"timm": "small_mixer"}, "spec.checkpoint: small_mixer has no weights of its own"),
        (
            {"timm": "test_vit", "checkpoint": {"embedded": "none", "sha256": ZEROS}},
            "spec.checkpoint.embedded: no file none",
        ),
        (
            {"timm": "test_vit", "checkpoint": {"embedded": "/etc/x", "sha256": ZEROS}},
            "spec.checkpoint.embedded: /etc/x leaves the folder of the weights",
        ),
        (
            {"timm": "test_vit", "checkpoint": {"file": "/none/x.pt", "sha256": ZEROS}},
            "spec.checkpoint.file: no file /none/x.pt",
        ),
    ],
)
def test_sources(spec: dict[str, Any], message: str) -> None:
    assert message in loading(**spec)


def test_the_data_config_must_fit_the_model(tmp_path: Path) -> None:
    module = seeded("test_vit", img_size=32, dynamic_img_size=False)
    plan = plan_model("test_vit", module, tmp_path)
    spec = plan.spec.wire() | {"args": {"img_size": 32, "dynamic_img_size": False}}
    assert "spec.dataConfig: " in loading(**spec, dataConfig={"inputSize": [3, 64, 64]})
    assert "3 input channels" in loading(
        **plan_model("test_vit", seeded("test_vit", **ARGS), tmp_path, args=ARGS).spec.wire(),
        dataConfig={"inputSize": [3, 32, 32]},
    )


class HeadApart(nn.Module):
    """A user's module whose forward does more than its head."""

    def __init__(self, num_classes: int, scale: float) -> None:
        super().__init__()
        self.head = nn.Linear(3, num_classes)
        self.scale = scale

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def forward_head(self, maps: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        pooled = maps.mean(dim=(2, 3))
        logits: torch.Tensor = self.head(pooled)
        return pooled if pre_logits else logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * self.forward_head(self.forward_features(images))


@pytest.mark.parametrize(("scale", "agrees"), [(1, True), (3, False)])
def test_a_registered_architecture(
    scale: int, agrees: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    here = EntryPoint("head_apart", f"{__name__}:HeadApart", architecture.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: HeadApart)
    monkeypatch.setattr(architecture, "entry_points", lambda group: [here] if group else [])
    torch.manual_seed(0)
    plan = plan_model("head_apart", HeadApart(10, scale), tmp_path, args={"scale": scale})
    if agrees:
        assert load_model(plan, "cpu", "fp32").network.info.input_size == (3, 224, 224)
    else:
        assert "forward is not forward_head" in loading(**plan.spec.wire())


def test_classes_must_fit_the_labels() -> None:
    info = ModelInfo("m", 1000, 8, (3, 32, 32), 1)

    def item(**fields: Any) -> PlanDataset:
        spec = {"imageFolder": {"path": "/data"}, **fields}
        return PlanDataset.model_validate({"name": "d", "spec": spec})

    check_classes(info, item(), 1000)
    check_classes(info, item(labelMap={"cat": 281}), 282)
    with pytest.raises(ModelError, match="1000 logits, but dataset d has 10 classes"):
        check_classes(info, item(), 10)
    with pytest.raises(ModelError, match="1000 logits, but dataset d has 1001 classes"):
        check_classes(info, item(labelMap={"cat": 1000}), 1001)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_cuda_that_is_not_there(tmp_path: Path) -> None:
    plan = plan_model("test_vit", seeded("test_vit"), tmp_path)
    with pytest.raises(PlanError, match=r"run\.device: cuda is asked for"):
        load_model(plan, "cuda", "fp32")

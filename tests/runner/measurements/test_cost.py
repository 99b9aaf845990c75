"""Cost: counts known on paper and from papers, and throughput by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from interplay_runner.intervals import IntervalError, median_order
from interplay_runner.measurement import Batch, Network, Output, UnmeasurableError
from interplay_runner.measurements import cost
from interplay_runner.measurements.cost import Cost, Throughput
from interplay_runner.models.macs import count_macs
from interplay_runner.models.network import VisionNetwork
from tests.runner.measurements.builders import Linear, ids, info, make, number, values


@dataclass
class Scene:
    """A context of `n` images in batches of 8, the last one padded."""

    network: Network
    n: int = 20
    seed: int = 0

    def batches(self) -> Iterator[Batch]:
        for start in range(0, self.n, 8):
            images = torch.arange(start, start + 8).view(8, 1, 1, 1).expand(8, 3, 8, 8).float()
            yield Batch(ids(8), images, torch.zeros(8), min(8, self.n - start))


def counts(module: nn.Module, size: tuple[int, int, int]) -> tuple[float, float]:
    config = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": size}
    network = VisionNetwork(module.eval(), "counted", config)
    found = values(make(Cost).measure(Scene(network)))
    assert {v.method for v in found.values()} == {"exact"}
    return number(found["parameters"]), number(found["macs"])


class Small(nn.Module):
    """One convolution and one classifier, in timm's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 10)

    def forward_features(self, x: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.conv(x))
        return maps.relu()

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = x.mean(dim=(2, 3))
        logits: Tensor = self.head(pooled)
        return pooled if pre_logits else logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def test_a_small_model_is_counted_as_on_paper() -> None:
    parameters, macs = counts(Small(), (3, 8, 6))
    assert parameters == 4 * 3 * 9 + 2 * 4 + 4 * 10 + 10
    assert macs == 8 * 6 * 4 * (3 * 9) + 4 * 10


def test_resnet50_has_the_published_size_and_work() -> None:
    module = timm.create_model("resnet50")
    outputs = 0

    def count(_module: nn.Module, _args: Any, output: Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    parameters, macs = counts(module, (3, 224, 224))
    assert parameters == 25_557_032
    assert macs == 4_089_184_256
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    handles = [m.register_forward_hook(count) for m in norms]
    with torch.no_grad():
        module(torch.zeros(1, 3, 224, 224))
    for handle in handles:
        handle.remove()
    assert (macs + 2 * outputs) / 1e9 == pytest.approx(4.11, abs=0.005), "as other tables count"


def test_attention_is_counted_fused_or_not() -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3,
        num_classes=10,
    )  # fmt: skip
    tokens, d = 17, 24
    block = tokens * (3 * d * d + d * d + 2 * 4 * d * d) + 2 * tokens * tokens * d
    expected = 16 * 3 * 64 * d + 2 * block + d * 10
    for fused in (True, False):
        for each in model.blocks:
            each.attn.fused_attn = fused
        assert counts(model, (3, 32, 32))[1] == expected


def test_what_cannot_be_counted_is_absent() -> None:
    def broken() -> None:
        raise NotImplementedError("no formula")

    assert count_macs(broken) is None
    network = Linear(torch.zeros(192, 10))
    network.info = replace(info(), parameters=7)
    found = values(make(Cost).measure(Scene(network)))
    assert number(found["parameters"]) == 7
    assert found["macs"].reason == "an operation has no known count"


@dataclass
class Clock:
    """Time that passes only where a forward takes it."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now


@dataclass
class Timed(Linear):
    """A network whose forwards take the next of some durations, in turn."""

    clock: Clock = field(default_factory=Clock)
    durations: tuple[float, ...] = (0.1,)
    calls: int = 0

    def forward(self, images: Tensor) -> Output:
        assert not torch.is_grad_enabled()
        self.clock.now += self.durations[self.calls % len(self.durations)]
        self.calls += 1
        return super().forward(images)


def timed(monkeypatch: pytest.MonkeyPatch, *durations: float) -> Timed:
    network = Timed(torch.zeros(192, 10), durations=durations)
    monkeypatch.setattr(cost, "time", network.clock)
    return network


def test_throughput_is_the_median_of_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two forwards of warm-up, then runs of one forward each, the slowest three times as slow.
    network = timed(monkeypatch, 0.1, 0.1, *(0.1 * s for s in (1, 2, 1, 3, 1, 1, 2, 1, 1)))
    item = make(Throughput, batches=[4], repeats=9, seconds=0.05)
    value = values(item.measure(Scene(network)))["throughput_batch4"]
    assert (value.value, value.low, value.high) == pytest.approx((40, 20, 40))
    assert (value.n, value.method) == (36, "median")


def test_a_run_takes_as_many_forwards_as_its_time_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    network = timed(monkeypatch, 0.25)
    item = make(Throughput, batches=[8], repeats=6, seconds=0.9)
    value = values(item.measure(Scene(network)))["throughput_batch8"]
    assert (value.value, value.low, value.high) == (32, 32, 32)
    assert value.n == 6 * 4 * 8


def test_batches_are_made_of_the_images_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    network = timed(monkeypatch, 1.0)
    item = make(Throughput, batches=[1, 26], repeats=6)
    found = values(item.measure(Scene(network)))
    assert {tuple(seen.shape) for seen in network.seen} == {(1, 3, 8, 8), (26, 3, 8, 8)}
    last = network.seen[-1][:, 0, 0, 0].int().tolist()
    assert last == [*range(20), *range(6)], "padding is no image"
    assert found["peak_memory_batch26"].reason == "memory is counted on CUDA devices only"
    with pytest.raises(UnmeasurableError, match="no samples"):
        item.measure(Scene(network, n=0))


def test_a_real_clock_gives_a_sound_number() -> None:
    item = make(Throughput, batches=[4], repeats=6, seconds=0.001)
    value = values(item.measure(Scene(Linear(torch.zeros(192, 10)))))["throughput_batch4"]
    assert number(value) > 0
    assert not Throughput.repeatable


def test_the_median_lies_between_order_statistics_as_often_as_they_say() -> None:
    assert median_order([3, 1, 2, 6, 5, 4]) == (3.5, 1, 6)
    seed = 20240619
    print("seed", seed)
    draws = torch.randn(2000, 15, generator=torch.Generator().manual_seed(seed)).exp()
    found = [median_order(row) for row in draws.tolist()]
    assert sum(e.low <= 1 <= e.high for e in found) / 2000 == pytest.approx(0.965, abs=0.012)
    with pytest.raises(IntervalError, match="5 repeats are too few"):
        median_order([1, 2, 3, 4, 5])

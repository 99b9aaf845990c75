"""Multiply-adds of a forward, counted by the operations that it really runs."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_macs"]


def count_macs(forward: Callable[[], object]) -> int | None:
    """Multiply-adds in matrix products and convolutions; None where they cannot be counted.

    What works element by element (norms, activations, pooling, softmax) is not in it.
    """
    try:
        with FlopCounterMode(display=False) as counter:
            forward()
    except Exception:
        # Operations whose shapes the counter does not know; the model itself may well run.
        return None
    return int(counter.get_total_flops()) // 2

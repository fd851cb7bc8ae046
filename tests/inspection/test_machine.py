"""What a timing says of its machine."""

from __future__ import annotations

import json

import torch

from recurra.inspection import machine


def test_the_machine_is_described_in_plain_values(monkeypatch) -> None:
    monkeypatch.setattr(machine, "gemm_gflops", lambda: 12.345)
    found = json.loads(json.dumps(machine.describe()))
    assert found["cpu"]
    assert found["threads"] == torch.get_num_threads()
    assert found["torch"] == str(torch.__version__)
    assert found["gemm_gflops"] == 12.3
    assert all(isinstance(flag, str) for flag in found["flags"])


def test_the_rate_of_a_product_counts_a_multiplication_and_an_addition(monkeypatch) -> None:
    """Each product takes a known time, three of them before any counts."""
    durations = iter([50.0, 50.0, 50.0, 2.0, 1.0, 9.0])
    clock = [0.0]
    readings = []

    def perf_counter() -> float:
        readings.append(clock[0])
        if len(readings) % 2:
            clock[0] += next(durations)
        return readings[-1]

    monkeypatch.setattr(machine.time, "perf_counter", perf_counter)
    assert machine.gemm_gflops(size=100, repeats=3) == 2 * 100**3 / 2.0 / 1e9

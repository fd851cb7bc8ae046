"""Timings: shapes, medians, and ratios by name. Nothing here asks how fast this machine is."""

from __future__ import annotations

import pytest

from recurra.cells import CELLS
from recurra.errors import ConfigError
from recurra.inspection import speed
from recurra.inspection.speed import Shape, Timing, geometric_mean, medians, ratios, time_cells


def test_shapes_are_read_as_they_are_written() -> None:
    assert Shape.from_text(" 50x32x256") == Shape(50, 32, 256)
    assert str(Shape(5, 3, 2)) == "5x3x2"
    for text in ("50x32", "50x0x3", "axbxc", "1x2x3x4", ""):
        with pytest.raises(ConfigError, match="--shapes: expected TxBxH"):
            Shape.from_text(text)


def test_medians_leave_the_warm_up_out_and_run_all_in_turn(monkeypatch) -> None:
    clock, order = [0.0], []
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    durations = {"a": iter([90.0, 90.0, 3.0, 1.0, 2.0]), "b": iter([90.0, 90.0, 5.0, 7.0, 6.0])}

    def step(name: str) -> None:
        order.append(name)
        clock[0] += next(durations[name])

    assert medians({name: lambda name=name: step(name) for name in "ab"}, 3) == {"a": 2.0, "b": 6.0}
    assert order == ["a", "b"] * 5


def test_ratios_have_names_and_means() -> None:
    shapes = (Shape(1, 2, 3), Shape(4, 5, 6))
    timings = [
        Timing("lstm", shapes[0], {"generated": 1.0, "torch": 2.0}, 10.0),
        Timing("lstm", shapes[1], {"generated": 1.0, "torch": 8.0}, 20.0),
        Timing("gru", shapes[0], {"generated": 2.0, "loop": 6.0, "reference": 4.0}, 5.0),
    ]
    found = ratios(timings)
    assert found["lstm 1x2x3 generated over torch"] == 2.0
    assert found["lstm generated over torch"] == pytest.approx(4.0)
    assert found["gru generated over loop"] == found["all cells generated over loop"] == pytest.approx(3.0)
    assert found["all cells generated over reference"] == pytest.approx(2.0)
    assert found["gru gflops over lstm"] == pytest.approx(0.5)
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_a_cell_with_a_module_is_timed_against_it_and_another_against_loops() -> None:
    shape = Shape(2, 3, 4)
    known, own = time_cells({"rnn": CELLS["elman"], "peephole": CELLS["peephole_lstm"]}, [shape], repeats=1)
    assert {"generated", "torch"} <= known.seconds.keys()
    assert {"generated", "loop", "reference"} <= own.seconds.keys()
    assert "torch" not in own.seconds
    for timing, matrices in ((known, 2), (own, 8)):
        assert all(value > 0 for value in timing.seconds.values())
        operations = 6 * 2 * 3 * matrices * 4**2
        assert timing.gflops == pytest.approx(operations / timing.seconds["generated"] / 1e9)

"""What training shows while it runs, where there is no terminal."""

from __future__ import annotations

from recurra.training import display
from recurra.training.display import Display


def test_a_line_tells_rate_loss_and_time_left(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 5.0, 20.0, 20.0, 25.0])
    monkeypatch.setattr(display.time, "perf_counter", lambda: next(clock))
    shown = Display(0.0)
    shown.updated(1, 0.5, 0.1, 6.0, 3)  # too soon to say
    assert capsys.readouterr().err == ""
    shown.updated(2, 1.0, 0.25, 6.0, 3)
    assert capsys.readouterr().err == "step 2  epoch 1.00  loss 2.000  0 tokens/s  1:00 left\n"
    shown.evaluated(2, {"loss": 1.23456, "exact_match": 50.0}, True)
    assert capsys.readouterr().err == "step 2  validation: loss 1.235  exact match 50  (best so far)\n"
    shown.close()


def test_durations():
    assert [display._duration(seconds) for seconds in (5, 65, 3_665)] == ["0:05", "1:05", "1:01:05"]

"""What training shows while it runs, where there is no terminal."""

from __future__ import annotations

import errno

import pytest

from recurra.training import display
from recurra.training.display import Display, EventFiles


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


class Table:
    """Outputs, one of them in double-width characters, one that would clear the screen."""

    columns = ("source", "output", "references")
    rows = tuple((f"source {n}", "\x1b[2J" * 2, "漢" * 100, "another") for n in range(50))


def test_the_same_outputs_are_shown_each_time_and_fit_a_line(capsys):
    shown = Display(0.0, seed=3)
    shown.outputs(Table)
    first = capsys.readouterr().err
    shown.outputs(Table)
    assert capsys.readouterr().err == first
    lines = first.splitlines()
    assert [line.split()[0] for line in lines] == ["source", "output", "reference"] * 3
    assert len(set(lines[::3])) == 3
    assert "\x1b" not in first
    columns = display.LOG_WIDTH - len("  reference  ")
    assert lines[2] == "  reference  " + "漢" * ((columns - 1) // 2) + "…"
    Display(0.0, seed=4).outputs(Table)
    assert capsys.readouterr().err != first
    shown.outputs(None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "width", "cut"), [("abcd", 4, "abcd"), ("abcde", 4, "abc…"), ("a漢漢", 4, "a漢…"), ("", 4, "")]
)
def test_a_text_is_cut_to_columns(text, width, cut):
    assert display._cut(text, width) == cut


def test_event_files_that_cannot_be_written_are_noted_once(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").touch()
    notes: list[str] = []
    EventFiles(str(tmp_path / "file"), 0, notes.append).close()
    assert len(notes) == 1
    files = EventFiles(str(tmp_path / "folder"), 0, notes.append)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files._writer, "flush", full)
    for step in (1, 2):
        files.add(step, {"train_loss": 1.0})
    files.close()
    assert notes[1:] == [
        f"note: {tmp_path / 'folder'}: could not be written (No space left on device); training continues without "
        "event files."
    ]


def test_durations():
    assert [display._duration(seconds) for seconds in (5, 65, 3_665)] == ["0:05", "1:05", "1:01:05"]

"""Reading `metrics.jsonl`, whatever somebody has put into it."""

from __future__ import annotations

import os

import pytest

from recurra.errors import RunError
from recurra.training.metrics_file import metrics_line, read_metrics


def test_lines_come_back(tmp_path):
    rows = [
        {"step": 1, "train_loss": 0.1 + 0.2, "valid_bleu": None},
        {"step": 2, "averaged": [1, 2], "best": {}},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(map(metrics_line, rows)) + b'{"step": 3, "trai')
    assert read_metrics(path) == rows
    assert read_metrics(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"train_loss": NaN}', "not JSON"),
        (b'{"train_loss": 1e999}', "not JSON"),
        (b'{"train_loss": "x"}', r"expected a number as 'train_loss', got 'x'"),
        (b'{"valid_loss": [1]}', r"expected a number as 'valid_loss', got \[1\]"),
        (b'{"valid_loss": true}', r"expected a number as 'valid_loss', got True"),
        (b'{"step": 1.5}', r"expected a whole number as step, got 1\.5"),
        (b'{"step": -1}', "expected a whole number as step, got -1"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "longer than 1048576 bytes"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, expected):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b"\n")
    with pytest.raises(RunError, match=rf"metrics\.jsonl, line 2: {expected}.*remove the line") as caught:
        read_metrics(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()]
)
def test_what_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "metrics.jsonl")
    with pytest.raises(RunError, match="cannot be read"):
        read_metrics(tmp_path / "metrics.jsonl")

"""`recurra average` of a language model; `tests/tasks/test_averaging.py` has the rest."""

from __future__ import annotations

import json

from commands import fails, prints
from recurra.cli import main


def test_the_mean_is_a_run_beside_the_best_one(folder, tmp_path, capsys):
    keys = ["--model.hidden_size", "6", "--training.steps", "4", "--training.batch_size", "2"]
    keys += ["--training.bptt", "6", "--training.evaluate_every", "2", "--training.keep", "2"]
    run, mean = str(tmp_path / "run"), str(tmp_path / "mean")
    assert main(["train", "lm", "--data.train", str(folder / "fruit.txt"), "--out", run, *keys]) == 0
    record = json.loads(prints(capsys, "average", run, "--out", mean, "--json"))
    assert record["steps"] == [2, 4]
    assert {"valid_loss", "valid_perplexity", "valid_bits_per_character"} < set(record)
    assert prints(capsys, "sample", mean, "--max-length", "3")
    assert "--out: expected a folder for the new run, got none" in fails(capsys, "average", run)

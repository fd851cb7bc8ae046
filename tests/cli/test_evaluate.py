"""`recurra evaluate` of a language model."""

from __future__ import annotations

import json

from cli.fruit import TEXT
from commands import fails, prints


def test_evaluate(capsys, run, folder):
    out = prints(capsys, "evaluate", run)
    assert "perplexity = exp(sum of -ln P / tokens)" in out
    own = json.loads(prints(capsys, "evaluate", run, "--json"))
    assert own["tokens"] == len(TEXT) - int(len(TEXT) * 0.9)
    whole = json.loads(prints(capsys, "evaluate", run, "--json", "--data.test", str(folder / "fruit.txt")))
    assert whole["tokens"] == whole["characters"] == len(TEXT)
    assert "gone.txt" in fails(capsys, "evaluate", run, "--data.test", "gone.txt")

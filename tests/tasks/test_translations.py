"""Translations as lines and as plain values."""

from __future__ import annotations

from recurra.tasks.translations import Output, Translation

ONE = Output("x y", ["x", "y", "<eos>"], -1.5, -0.5, None, True)
TWO = Output("z", ["z", "<eos>"], -2.5, -1.25, None, True)


def test_the_best_is_the_line():
    assert Translation("a b", ["a", "b", "<eos>"], [ONE]).line() == "x y"


def test_several_are_ranked_and_filled_up():
    lines = Translation("a b", ["a", "b", "<eos>"], [ONE, TWO], n_best=3).line().split("\n")
    assert lines == ["1\t-0.5000\tx y", "2\t-1.2500\tz", "3\t-inf\t"]


def test_plain_values():
    record = Translation(
        "a b", ["a", "b", "<eos>"], [ONE, TWO], unknown=1, truncated=True, n_best=2
    ).as_dict()
    assert record["target"] == "x y"
    assert (record["score"], record["log_prob"], record["unknown"], record["truncated"]) == (
        -0.5,
        -1.5,
        1,
        True,
    )
    assert record["n_best"][1] == {"text": "z", "score": -1.25, "log_prob": -2.5, "tokens": ["z", "<eos>"]}

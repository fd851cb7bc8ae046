"""Every option of every verb, given odd values: each is taken, or refused in one line that can be read."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recurra.cli import evaluate, explain, inspect, main, predict, sample, train
from recurra.cli.options import Options
from recurra.cli.runs import build_options
from recurra.decode.sample_options import SampleOptions
from recurra.errors import RecurraError
from recurra.tasks.common_views import COMMON_VIEWS
from recurra.tasks.registry import TASKS, find_task

ODD = [
    *(
        "",
        " ",
        "-",
        "--",
        "-1",
        "0",
        "1",
        "1e3",
        "1e400",
        "-0.0",
        "0x10",
        "1_000",
        "٣",
        "½",
        "nan",
        ".nan",
        "inf",
    ),
    *(
        "-inf",
        "True",
        "yes",
        "on",
        "none",
        "None",
        "null",
        "~",
        "~/x",
        ".",
        "..",
        "/",
        "/dev/null",
        "/dev/zero",
    ),
    *(
        "a,b",
        "[1, 2",
        "[]",
        "[1]",
        "[1, a]",
        "[[[[1]]]]",
        "{}",
        "{a: 1}",
        "{a: {b: 1}}",
        "{forget: nan}",
        "{1: 2}",
    ),
    *(
        "[&a [1, 1], *a]",
        "&a [*a]",
        "!!python/name:os.system ''",
        "!!int ''",
        "!!timestamp x",
        "1:30",
        "2024-01-01",
    ),
    *(
        "[" * 600,
        "{a: " * 600,
        "9" * 5000,
        "x" * 5000,
        str(2**63),
        str(-(2**63)),
        "1" + "0" * 22,
        "%s %d {} {0}",
    ),
    *(
        "\x00",
        "\x1b[2J",
        "a\nb",
        "a\r\nb",
        "\u2028",
        "\udc80",
        "'",
        '"',
        "'''",
        "lstm",
        "LSTM",
        "gpu",
        "none.py:X",
    ),
    *("..:X", "x.py:", ":X", "@", "@x", "=", "a=b", "utf-16", "idna", "punycode", "rot13", "missing.yaml"),
]
"""Values of which each has been, or could have been, more than one line somewhere."""

Parse = Callable[[Sequence[str]], object]


def _train(name: str) -> tuple[set[str], Parse]:
    options = train._options(name)
    return options.names, lambda typed: options.build(find_task(name).config, options.parse(typed))


def _of_run(options: Options, kind: type) -> tuple[set[str], Parse]:
    def parse(typed: Sequence[str]) -> Any:
        return build_options(options, options.parse(["run", *typed]), kind)

    return options.names, parse


def _verbs() -> dict[str, tuple[set[str], Parse]]:
    """The names of each verb's options, and what reads them as far as it goes without a run."""
    tasks = {name: find_task(name) for name in TASKS}
    verbs = {f"train {name}": _train(name) for name in tasks}
    verbs["sample"] = _of_run(sample._options(), SampleOptions)
    verbs["explain"] = (explain._options().names, explain._options().parse)
    for name, task in tasks.items():
        verbs[f"predict {name}"] = _of_run(predict._options("predict", [task]), task.predict_options)
        verbs[f"evaluate {name}"] = _of_run(evaluate._options([task]), task.evaluate_options)
        for view_name, view in {**COMMON_VIEWS, **task.views()}.items():
            options = inspect._options(view_name, view, [task])
            verbs[f"inspect {view_name} {name}"] = _of_run(options, view.options)
    return verbs


VERBS = _verbs()


def _typed(names: set[str]) -> st.SearchStrategy[list[str]]:
    """One to three options, each with none to three odd values, in both ways of writing."""
    option = st.sampled_from(sorted(names - {"help", "help-all"}))
    numbers = st.integers().map(str) | st.floats().map(str)
    value = st.sampled_from(ODD) | numbers | st.text(st.characters(codec=None), max_size=20)
    apart = st.builds(lambda name, values: [f"--{name}", *values], option, st.lists(value, max_size=3))
    joined = st.builds(lambda name, value: [f"--{name}={value}"], option, value)
    return st.lists(apart | joined, min_size=1, max_size=3).map(lambda several: list(chain(*several)))


@pytest.mark.parametrize("verb", VERBS)
@settings(max_examples=25, deadline=2000, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_odd_values_are_taken_or_refused_in_one_line(verb, data):
    names, parse = VERBS[verb]
    typed = data.draw(_typed(names))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            parse(typed)
        except RecurraError as error:
            _is_readable(str(error))
        else:
            assert said.getvalue() == ""


def _is_readable(message: str) -> None:
    assert message.splitlines() == [message]
    assert message.isprintable() or "\udc80" in message, message
    assert len(message) <= 500, len(message)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    "verb", ["", "train", "train lm", "resume", "inspect", "inspect gates", "bench cells"]
)
def test_odd_words_are_refused_in_one_line(capsys, verb, value):
    code = main([*verb.split(), value, "--no-such-option"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    _is_readable(err.rstrip("\n"))

"""Options from dataclasses: which were typed, what `none` is, flags and ranges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from recurra.cli.options import Options
from recurra.errors import ConfigError
from recurra.settings import check, setting
from recurra.tasks.registry import find_task


@dataclass(frozen=True)
class Flat:
    """What is asked.

    Attributes:
        beam_size: beam width.
        top_p: a share (default: all).
        greedy: no beam.
        fancy: as usual.
        text_in: what to read.
        sizes: several.
        kind: which.
    """

    beam_size: int = setting(5, at_least=1)
    top_p: float | None = setting(None, above=0, at_most=1)
    greedy: bool = False
    fancy: bool = True
    text_in: list[str] = setting([], files=True)
    sizes: list[int] = setting([1, 2])
    kind: Literal["left", "right"] | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Part:
    """A group of keys.

    Attributes:
        clip: a limit; none: never.
        wiring: which.
        energy: how.
        text: a word.
        files: what to read.
        count: how many.
    """

    clip: float | None = setting(1.0, above=0)
    wiring: Literal["none", "luong"] = "luong"
    energy: Literal["none", "dot"] | None = "dot"
    text: str | None = "x"
    files: list[str] = setting([], files=True)
    count: int = setting(3, at_least=1)

    def __post_init__(self) -> None:
        check(self, "part")


@dataclass(frozen=True)
class Whole:
    part: Part = field(default_factory=Part)


def flat(leave_out: tuple[str, ...] = ()) -> Options:
    options = Options("predict", "A verb.", "RUN [FILE] [options]")
    options.positional("run", "a run")
    options.positional("file", "a file", optional=True)
    options.add_dataclass(Flat, leave_out)
    return options


def given(*arguments: str) -> dict[str, object]:
    options = flat()
    return options.given(options.parse(arguments), Flat)


def part(*arguments: str) -> Part:
    options = Options("train", "A verb.", "--out RUN")
    options.add_config(Whole, {})
    return options.build(Whole, options.parse(arguments)).part


# --- options of a flat dataclass ----------------------------------------------------------------------


def test_only_what_was_typed_is_given():
    assert given("run") == {}
    assert given("run", "--beam-size", "5") == {"beam_size": 5}  # though it is the default
    assert given("run", "--beam-size=7", "--top-p", "0.5", "--kind", "left") == {
        "beam_size": 7,
        "top_p": 0.5,
        "kind": "left",
    }
    assert given("run", "--sizes", "3", "4", "--text-in", "a", "b") == {
        "sizes": [3, 4],
        "text_in": ["a", "b"],
    }


def test_what_stands_after_two_dashes_is_no_option():
    options = flat()
    values = options.parse(["run", "--", "--greedy"])
    assert values.file == "--greedy"
    assert options.given(values, Flat) == {}


def test_each_call_forgets_what_was_typed_before():
    options = flat()
    options.parse(["run", "--beam-size", "7"])
    assert options.given(options.parse(["run"]), Flat) == {}


@pytest.mark.parametrize("arguments", [("--greedy", "run", "in.txt"), ("run", "in.txt", "--greedy")])
def test_a_flag_takes_no_value_so_a_run_may_stand_after_it(arguments):
    options = flat()
    values = options.parse(arguments)
    assert (values.run, values.file) == ("run", "in.txt")
    assert options.given(values, Flat) == {"greedy": True}


def test_what_is_on_unless_given_takes_true_or_false():
    assert given("run", "--fancy", "false") == {"fancy": False}


def test_fields_are_left_out_and_names_known():
    assert flat().names == {
        *("help", "beam-size", "top-p", "greedy", "fancy", "text-in", "sizes", "kind", "prompt")
    }
    options = flat(leave_out=("kind", "text_in"))
    assert not options.names & {"kind", "text-in"}
    with pytest.raises(ConfigError, match="--kind: no such option of `recurra predict`"):
        options.parse(["run", "--kind", "left"])


def test_help_has_defaults_once_and_files_as_such(capsys):
    with pytest.raises(SystemExit):
        flat().parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--beam-size N beam width (default: 5)" in text
    assert "--top-p X a share (default: all)" in text
    assert "--greedy no beam --fancy" in text
    assert "as usual (default: true)" in text
    assert "--text-in FILE [FILE ...] what to read (default: none) --sizes" in text
    assert "null" not in text


def test_a_range_of_a_plain_option():
    options = Options("bench", "A verb.", "[options]")
    options.add("batch-size", int | None, None, "how many", "N")
    options.at_least("batch-size", 2)
    assert options.parse([])["batch_size"] is None
    assert options.parse(["--batch-size", "2"])["batch_size"] == 2
    with pytest.raises(ConfigError, match=r"^--batch-size: expected a whole number of at least 2, got 1"):
        options.parse(["--batch-size", "1"])


@pytest.mark.parametrize(
    ("verb", "positionals", "says"),
    [
        ("sample", ["run"], "give a run folder: recurra sample RUN"),
        ("bleu", ["hypotheses"], "give a HYPOTHESES: recurra bleu USAGE"),
        ("bleu", ["hyp", "ref"], "give HYP and REF: recurra bleu USAGE"),
    ],
)
def test_what_is_missing_is_asked_for(verb, positionals, says):
    options = Options(verb, "A verb.", "USAGE")
    for positional in positionals:
        options.positional(positional, "it")
    with pytest.raises(ConfigError) as error:
        options.parse([])
    assert str(error.value) == says


def test_the_help_lists_the_names_that_an_option_may_be(capsys):
    with pytest.raises(SystemExit):
        flat().parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--kind {left,right}" in shown
    assert "--top-p X" in shown
    assert "--text-in FILE [FILE ...]" in shown


# --- none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("none", ["none", "null"])
def test_none_is_typed_as_the_help_writes_it(tmp_path, none):
    assert part("--part.clip", none).clip is None
    assert part(f"--part.clip={none}").clip is None
    path = tmp_path / "a.yaml"
    path.write_text(f"part:\n  clip: {none}\n", encoding="utf-8")
    assert part("--config", str(path)).clip is None
    assert given("run", "--top-p", none, "--kind", none) == {"top_p": None, "kind": None}


def test_none_is_a_word_where_words_are_values():
    assert part("--part.text", "none").text == "none"
    assert part("--part.wiring", "none").wiring == "none"
    assert part("--part.energy", "none").energy == "none"
    assert given("run", "--prompt", "none") == {"prompt": "none"}
    options = flat()
    assert options.parse(["none"]).run == "none"
    assert options.parse(["--greedy", "none"]).run == "none"
    assert options.parse(["--top-p", "1", "none", "none"]).file == "none"
    assert options.parse(["run", "--", "none"]).file == "none"


def test_none_is_refused_where_there_is_always_a_value(tmp_path):
    with pytest.raises(ConfigError, match=r"^--part\.count: expected a whole number, got 'none'"):
        part("--part.count", "none")
    path = tmp_path / "a.yaml"
    path.write_text("part:\n  count: null\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 2: part\.count: expected a whole number, got None"):
        part("--config", str(path))


def test_positional_arguments_may_stand_after_options():
    options = Options("predict", "A verb.", "RUN [FILE] [options]")
    options.positional("run", "a run")
    options.positional("file", "a file", optional=True)
    options.add("beam-size", int, 5, "how many", "K")
    options.add("files", list[str], None, "several", "FILE")
    options.add("fast", bool, False, "or not")
    options.flag("json", "print JSON")
    for arguments in (
        ["r", "f", "--beam-size", "3", "--json"],
        ["r", "--beam-size", "3", "f", "--json"],
        ["--json", "r", "--beam-size=3", "f"],
        ["--beam-size", "3", "--json", "r", "--", "f"],
    ):
        values = options.parse(arguments)
        assert (values.run, values.file, values.beam_size, values.json) == ("r", "f", 3, True)
    values = options.parse(["r", "--fast", "true", "--files", "a", "b", "--fast", "f"])
    assert (values.run, values.file, values.fast, values.files) == ("r", "f", True, ["a", "b"])


# -------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data.train", "a", "--data.train", "b", "c"],
        ["--data.train=a", "--data.train=b", "--data.train", "c"],
        ["--data.train", "a", "b", "--model.hidden_size", "8", "--data.train=c"],
    ],
)
def test_a_list_that_is_given_several_times_is_one_list(arguments):
    options = Options("train lm", "", "")
    options.add_config(find_task("lm").config, {})
    assert options.parse(arguments).data.train == ["a", "b", "c"]


def test_a_list_on_the_command_line_replaces_that_of_the_file(tmp_path):
    (tmp_path / "it.yaml").write_text("data: {train: [x, y]}\n")
    options = Options("train lm", "", "")
    options.add_config(find_task("lm").config, {})
    config = ["--config", str(tmp_path / "it.yaml")]
    assert options.parse(config).data.train == ["x", "y"]
    options = Options("train lm", "", "")
    options.add_config(find_task("lm").config, {})
    assert options.parse([*config, "--data.train", "a", "--data.train", "b"]).data.train == ["a", "b"]


def test_of_single_values_the_last_one_counts():
    options = Options("train lm", "", "")
    options.add_config(find_task("lm").config, {})
    assert options.parse(["--training.steps", "3", "--training.steps", "5"]).training.steps == 5


@pytest.mark.parametrize(
    "value", ["[" * 600, "{a: " * 600, "&a [*a]", "[" + "x" * 2_000_000, "!!int ''", "1" * 5000]
)
def test_a_hostile_value_is_a_short_line(value):
    options = Options("train lm", "", "")
    options.add_config(find_task("lm").config, {})
    for key in ("model.hidden_size", "model.initial_bias", "optimiser.betas", "training.steps", "model.tied"):
        with pytest.raises(ConfigError) as caught:
            options.parse([f"--{key}", value])
        assert len(str(caught.value)) < 500
        assert "\n" not in str(caught.value)

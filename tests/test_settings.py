"""Settings: what a field says is what is checked, built, written and helped with."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import pytest

import recurra
from recurra.errors import ConfigError
from recurra.settings import (
    PROBABILITY,
    build,
    check,
    check_number,
    default_of,
    fields_of,
    help_of,
    keys_with,
    plain,
    probability,
    setting,
)


@dataclass(frozen=True)
class Part:
    """A part, which does not know what it is part of.

    Attributes:
        rate: how fast.
        by_name: how fast
            each `one` is.
    """

    rate: float = setting(0.5, above=0, below=1)
    by_name: float | dict[str, float] = setting(0.25, at_least=0, expected="a share")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Many:
    """A field of each kind.

    Args:
        files: what to read.
        low, high: from where to where.
    """

    files: list[str] = setting([], files=True)
    start: str | None = setting(None, files=True, expected="a folder")
    name: str = setting("one", names=("one", "two", "three"))
    several: list[str] | None = setting(None, names=lambda: ["one", "two"])
    words: list[str] = setting([])
    kind: Literal["left", "right"] = setting("left", fixed=True)
    maybe: Literal["a", "b"] | None = None
    on: bool = False
    whole: int = setting(3, at_least=1, at_most=127)
    sizes: int | list[int] = setting(3, at_least=1, fixed=True)
    number: float = setting(0.0, at_least=0, below=1)
    limit: float | None = setting(None, above=0)
    pair: tuple[float, float] = setting((0.5, 0.25), at_least=0)
    bias: dict[str, float] | None = setting(None)
    low: int = setting(0, at_most=9)
    high: float = setting(0.0, below=2)
    part: Part = field(default_factory=Part)

    def __post_init__(self) -> None:
        check(self, "many")


@dataclass(frozen=True)
class Whole:
    many: Many = field(default_factory=Many)
    part: Part = field(default_factory=Part)


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("files", "a.txt", "a list of files, got 'a.txt'. Write ['a.txt']."),
        ("files", Path("a"), "a list of files, got "),
        ("files", ["a", 3], "a list of file names, got 3 in it."),
        ("files", None, "a list of files, got None"),
        ("start", "", "a folder, got ''."),
        ("start", 3, "a folder, got 3."),
        ("name", "tow", "one of one, two, three, got 'tow'. Did you mean 'two'?"),
        ("name", ["one"], "one of one, two, three, got ['one']."),
        ("name", [], "one of one, two, three, got []."),
        ("several", "one", "a list, got 'one'. Write ['one']."),
        ("several", ["one", "three"], "one of one, two, got 'three'."),
        ("several", 3, "a list, got 3."),
        ("words", "text", "a list, got 'text'."),
        ("words", ["text", None], "text, got None."),
        ("kind", "rihgt", "one of left, right, got 'rihgt'. Did you mean 'right'?"),
        ("kind", None, "one of left, right, got None."),
        ("maybe", "c", "one of a, b, got 'c'."),
        ("on", 1, "true or false, got 1."),
        ("on", None, "true or false, got None."),
        ("whole", 0, "a whole number from 1 to 127, got 0."),
        ("whole", 128, "a whole number from 1 to 127, got 128."),
        ("whole", 2.0, "a whole number from 1 to 127, got 2.0."),
        ("whole", True, "a whole number from 1 to 127, got True."),
        ("whole", [3], "a whole number from 1 to 127, got [3]."),
        ("whole", 10**400, "a whole number from 1 to 127, got a whole number of about 400 digits"),
        ("sizes", 2**63, f"whole numbers of at least 1 and below 2^63, got {2**63}."),
        ("sizes", [4, 2**63], f"whole numbers of at least 1 and below 2^63, got [4, {2**63}]."),
        (
            "sizes",
            10**400,
            "whole numbers of at least 1 and below 2^63, got a whole number of about 400 digits.",
        ),
        ("sizes", [4, 0], "whole numbers of at least 1, got [4, 0]."),
        ("sizes", [], "whole numbers of at least 1, got []."),
        ("sizes", "4", "whole numbers of at least 1, got '4'."),
        ("sizes", [4, True], "whole numbers of at least 1, got [4, True]."),
        ("number", 1, "a number in [0, 1), got 1."),
        ("number", -1e-9, "a number in [0, 1), got -1e-09."),
        ("number", math.nan, "a number in [0, 1), got nan."),
        ("number", "0.5", "a number in [0, 1), got '0.5'."),
        ("limit", 0, "a number above 0, got 0."),
        ("limit", math.inf, "a number above 0, got inf."),
        ("limit", 10**400, "a number above 0, got a whole number of about 400 digits"),
        ("pair", (0.5,), "numbers of at least 0, got (0.5,)."),
        ("pair", (0.5, -0.5), "numbers of at least 0, got (0.5, -0.5)."),
        ("pair", 0.5, "numbers of at least 0, got 0.5."),
        ("pair", "ab", "numbers of at least 0, got 'ab'."),
        ("bias", 0.5, "a mapping of names to numbers, got 0.5."),
        ("bias", [0.5], "a mapping of names to numbers, got [0.5]."),
        ("bias", {"gate": "x"}, "a number for 'gate', got 'x'."),
        ("low", 10, "a whole number of at most 9, got 10."),
        ("high", 2, "a number below 2, got 2."),
        ("start", "a\0b", "a folder, got 'a\\x00b'."),
        ("start", "\ud800", "a folder, got '\\ud800'."),
        ("files", ["a\0b"], "a list of file names, got 'a\\x00b' in it."),
    ],
)
def test_a_value_that_does_not_fit_is_named_in_one_line(key, value, expected):
    with pytest.raises(ConfigError) as error:
        Many(**{key: value})
    message = str(error.value)
    assert message.startswith(f"many.{key}: expected {expected}")
    assert "\n" not in message


@pytest.mark.parametrize(
    "values",
    [
        {"whole": 1},
        {"whole": 127},
        {"sizes": 2**63 - 1},
        {"low": -(2**63) + 1},
        {"number": 0},
        {"limit": 1e-300},
        {"limit": sys.float_info.max},
        {"bias": {}},
        {"bias": {"gate": -3}},
        {"several": ["two"]},
        {"several": None},
        {"maybe": "b"},
        {"low": 9},
        {"high": 1.999},
        {"words": []},
    ],
)
def test_ends_of_the_ranges_belong_to_them(values):
    made = Many(**values)
    assert {key: getattr(made, key) for key in values} == values


def test_values_take_the_form_of_their_types():
    made = Many(files=(Path("a"), "b"), start=Path("c"), sizes=(4, 5), pair=[1, 2], words=("x",))
    assert (made.files, made.start) == (["a", "b"], "c")
    assert (made.sizes, made.pair, made.words) == ([4, 5], (1, 2), ["x"])


def test_where_a_value_may_be_one_or_by_name_each_is_checked():
    assert Part(by_name={"a": 0.5, "b": 1}).by_name == {"a": 0.5, "b": 1}
    with pytest.raises(ConfigError, match=r"^by_name: expected a share for 'b', got -1\.$"):
        Part(by_name={"a": 0.5, "b": -1})
    with pytest.raises(ConfigError, match=r"^by_name: expected a share, got -1\.$"):
        Part(by_name=-1)


def test_a_default_that_can_change_is_each_instances_own():
    first, second = Many(), Many()
    first.words.append("x")
    assert second.words == []


# --- what fields say ----------------------------------------------------------------------------------


def test_marks_are_found_in_dataclasses_of_dataclasses():
    assert keys_with(Whole, "files") == ["many.files", "many.start"]
    assert keys_with(Whole, "fixed") == ["many.kind", "many.sizes"]
    assert keys_with(Many, "fixed", "many.") == ["many.kind", "many.sizes"]


def test_fields_of_parts_have_dotted_keys_and_declared_defaults():
    found = {key: (hint, default_of(one)) for key, one, hint in fields_of(Whole)}
    assert found["many.part.rate"] == (float, 0.5)
    assert found["many.sizes"] == (int | list[int], 3)
    assert found["many.files"] == (list[str], [])
    assert list(found)[-2:] == ["part.rate", "part.by_name"]
    assert len(found) == len(fields(Many)) - 1 + 2 + 2


def test_help_is_what_docstrings_say():
    assert help_of(Part) == {"rate": "how fast", "by_name": "how fast each one is"}
    assert help_of(Many) == {
        "files": "what to read",
        "low": "from where to where",
        "high": "from where to where",
    }
    assert help_of(Whole) == {}


# --- reading and writing ------------------------------------------------------------------------------


def test_what_is_written_is_read_again():
    made = Whole(Many(files=["a"], sizes=[4, 5], pair=(1.0, 2.0), part=Part(0.125)), Part(by_name={"a": 1.0}))
    values = plain(made)
    assert values["many"]["files"] == [str(Path("a").resolve())]
    values["many"]["pair"] = list(values["many"]["pair"])  # as YAML gives it
    again = build(Whole, values)
    assert plain(again) == plain(made)
    assert isinstance(again.many.pair, tuple)


def test_files_are_written_with_their_whole_paths():
    values = plain(Whole(Many(files=["x/../a", "/b"], start="runs/first", words=["a"])))["many"]
    assert values["files"] == [str(Path.cwd() / "a"), str(Path("/b").resolve())]
    assert values["start"] == str(Path.cwd() / "runs" / "first")
    assert values["words"] == ["a"]
    assert plain(Whole())["many"]["start"] is None


def test_a_value_of_a_part_is_named_with_all_its_dots():
    with pytest.raises(ConfigError, match=r"^many\.part\.rate: expected a number in \(0, 1\), got 1\.$"):
        build(Whole, {"many": {"part": {"rate": 1}}})
    with pytest.raises(ConfigError, match=r"^part\.by_name: expected a share for 'a', got -1\.$"):
        build(Whole, {"part": {"by_name": {"a": -1}}})
    with pytest.raises(ConfigError, match=r"^many\.whole: expected"):
        build(Whole, {"many": {"whole": 0}})
    with pytest.raises(ConfigError, match=r"^rate: expected"):
        build(Part, {"rate": 1})


@pytest.mark.parametrize(
    "values", [{"many": {"hole": 3}}, {"few": {}}, {"many": 3}, {"many": None}, [], {"many": {"part": [1]}}]
)
def test_unknown_keys_and_what_is_no_mapping_are_refused(values):
    with pytest.raises(TypeError):
        build(Whole, values)


# --- all settings -------------------------------------------------------------------------------------

CONFIGS = ("LMConfig", "TranslateConfig", "BeamConfig")


@pytest.mark.parametrize("name", CONFIGS)
def test_each_setting_of_recurra_has_a_default_that_fits_and_help(name):
    config = getattr(recurra, name)
    config()
    for key, _, _ in fields_of(config):
        assert key in _helps(config), f"{name}: no help for {key}"


def _helps(config: type, prefix: str = "") -> set[str]:
    nested = {key.rpartition(".")[0] for key, _, _ in fields_of(config)} - {""}
    found = {f"{prefix}{key}" for key in help_of(config)}
    default = config()
    for path in nested:
        part = default
        for name in path.split("."):
            part = getattr(part, name)
        found |= {f"{prefix}{path}.{key}" for key in help_of(type(part))}
    return found


def test_what_a_resumed_run_must_keep():
    assert keys_with(recurra.LMConfig, "fixed") == [
        "training.batch_size",
        "training.bptt",
        "training.accumulate",
        "training.seed",
        "training.weights",
        "training.start_from",
        "optimiser.name",
    ]
    assert keys_with(recurra.TranslateConfig, "fixed") == [
        "training.batch_tokens",
        "training.accumulate",
        "training.seed",
        "training.weights",
        "training.start_from",
        "optimiser.name",
    ]


def test_which_keys_name_files():
    assert keys_with(recurra.LMConfig, "files") == [
        "data.train",
        "data.valid",
        "data.test",
        "training.start_from",
    ]
    files = keys_with(recurra.TranslateConfig, "files")
    assert len(files) == 10
    assert {"data.valid_target", "data.test_source", "training.start_from"} <= set(files)


def test_settings_load_no_torch():
    modules = (
        "settings data.text data.pairs decode.config decode.sample_options models.language_model_config "
        "models.translation_config training.config training.optimiser_config training.schedule"
    )
    imports = "; ".join(f"import recurra.{name}" for name in modules.split())
    code = f"{imports}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_argument_that_is_no_field_is_checked_alike():
    for value, kind in ((1, int), (None, int | None), (0.5, float)):
        check_number("n", value, kind, at_least=0.5)
    with pytest.raises(ConfigError, match=r"^--n: expected a whole number of at least 1, got 0\.$"):
        check_number("--n", 0, at_least=1)
    with pytest.raises(ConfigError, match=r"^rate: expected a probability in \[0, 1\), got 1\.$"):
        check_number("rate", 1, float, **PROBABILITY)


@dataclass(frozen=True)
class Rates:
    rate: float | dict[str, float] = probability()

    def __post_init__(self) -> None:
        check(self)


def test_a_probability_is_one_or_one_for_each_name():
    assert (Rates().rate, Rates(0.5).rate, Rates({"c": 0.5}).rate) == (0.0, 0.5, {"c": 0.5})
    with pytest.raises(ConfigError, match=r"^rate: expected a probability in \[0, 1\) for 'c', got -1\.$"):
        Rates({"c": -1})

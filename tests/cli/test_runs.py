"""Which run a command is about, and what its task adds."""

from __future__ import annotations

import pytest

from recurra.cli.options import Options
from recurra.cli.runs import (
    as_typed,
    build_options,
    own_cell,
    peek,
    tasks_of,
    test_files as files_of,
    test_keys as keys_of,
)
from recurra.decode.sample_options import SampleOptions
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS, find_task
from recurra.tasks.translation_options import TranslatePredictOptions


def test_the_run_is_found_wherever_it_stands(run):
    for arguments in ([run, "--json"], ["--n", "3", run], ["--json", run, "file"]):
        assert str(peek(arguments).path) == run
    assert peek(["--json", "no/such"]) is None


def test_without_a_run_all_tasks_are_meant(run):
    assert [task.name for task in tasks_of(peek([run]))] == ["lm"]
    assert [task.name for task in tasks_of(None)] == list(TASKS)


def test_test_files_come_from_the_marks_of_the_configuration():
    assert keys_of([find_task("lm")]) == ["data.test"]
    assert keys_of([find_task("translate")]) == ["data.test", "data.test_source", "data.test_target"]
    options = Options("test", "", "")
    for key in keys_of([find_task("translate")]):
        options.add(key, list[str], None, "")
    values = options.parse(["--data.test_source", "a", "b", "--data.test_target", "c"])
    assert files_of(values, [find_task("translate")]) == {"test_source": ["a", "b"], "test_target": ["c"]}


def built(*arguments):
    options = Options("test", "", "")
    options.add_dataclass(TranslatePredictOptions)
    return build_options(options, options.parse(arguments), TranslatePredictOptions)


def test_what_is_typed_is_what_changes():
    assert built() == TranslatePredictOptions()
    assert built("--min-length", "3", "--greedy") == TranslatePredictOptions(min_length=3, greedy=True)
    with pytest.raises(ConfigError, match=r"^--n-best: expected at most the beam size 3, got 4"):
        built("--beam-size", "3", "--n-best", "4")
    with pytest.raises(ConfigError, match=r"^--length-penalty: changes nothing with --greedy.*; drop one\.$"):
        built("--greedy", "--length-penalty", "0.7")  # its default, but typed


def test_only_code_is_a_cell_of_ones_own(folder):
    assert own_cell(None) is None
    assert own_cell("gru") is None
    assert own_cell(f"{folder / 'mine.py'}:Leaky").__name__ == "Leaky"


def test_an_option_is_called_as_it_is_typed():
    with pytest.raises(ConfigError, match=r"^--max-length: expected b, got c\.$"), as_typed(SampleOptions):
        raise ConfigError("max_length: expected b, got c.")
    with pytest.raises(ConfigError, match=r"^model\.cell: expected b\.$"), as_typed(SampleOptions):
        raise ConfigError("model.cell: expected b.")

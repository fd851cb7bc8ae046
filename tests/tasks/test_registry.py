"""What is known of each task without importing it."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError, RunError
from recurra.tasks.registry import TASKS, Entry, check_noun, find_task, task_of
from torch_free import run_torch_free


def test_it_imports_nothing_heavy():
    run_torch_free("""
        from recurra.tasks.registry import TASKS, find_task
        for name in TASKS:
            assert find_task(name).config  # the task's file, too
    """)


@pytest.mark.parametrize("name", TASKS)
def test_each_task_is_what_its_entry_says(name):
    entry, task = TASKS[name], find_task(name)
    assert isinstance(entry, Entry)
    assert task.name == name
    assert set(task.views()) == set(entry.views)
    assert "{run}" in entry.next
    assert entry.noun.split()[0] in ("a", "an")
    assert task_of(task.config()) is task


def test_what_is_no_configuration_is_refused():
    with pytest.raises(ConfigError, match=r"config: expected one of LMConfig, TranslateConfig, got dict"):
        task_of({})


def test_a_run_of_another_task_says_what_it_is_and_is_good_for():
    check_noun("runs/x", "lm", "lm", "score")
    with pytest.raises(RunError) as error:
        check_noun("runs/x", "translate", "lm", "score")
    assert str(error.value) == (
        "runs/x is a translator; score needs a language model. `recurra predict runs/x < FILE` translates, and "
        "`recurra train lm` makes a language model."
    )

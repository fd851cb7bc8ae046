"""The table of mutants is true: what each one changes is there, once, and so are the tests it names."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import mutants
from mutant_table import MUTANTS

PARTS = (
    "cli",
    "settings.py",
    "cells",
    "engine",
    "layers",
    "decode",
    "training",
    "metrics",
    "data",
    "tasks",
    "inspection",
    "durable.py",
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.what}")
def test_what_is_changed_occurs_once(mutant):
    file = mutants.ROOT / "src" / "recurra" / mutant.file
    source = file.read_text(encoding="utf-8")
    changed = mutants.mutated(mutant, source)
    assert changed != source
    if file.suffix == ".py":
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))  # and it is still Python


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.what}")
def test_what_must_notice_exists(mutant):
    assert mutant.tests
    for test in mutant.tests:
        name, _, function = test.partition("::")
        source = (Path(__file__).parent / name).read_text(encoding="utf-8")
        assert not function or f"\ndef {function}(" in source


def test_every_part_has_mutants_and_none_comes_twice():
    assert set(PARTS) == {mutant.file.split("/")[0] for mutant in MUTANTS}
    counts = Counter((mutant.file, mutant.old, mutant.new) for mutant in MUTANTS)
    assert max(counts.values()) == 1
    descriptions = Counter((mutant.file, mutant.what) for mutant in MUTANTS)
    assert max(descriptions.values()) == 1


def test_a_text_that_is_not_there_once_is_an_error_of_the_table():
    mutant = MUTANTS[0]
    with pytest.raises(ValueError, match="occurs 0 times, expected once"):
        mutants.mutated(mutant, "")
    with pytest.raises(ValueError, match="occurs 2 times, expected once"):
        mutants.mutated(mutant, mutant.old * 2)

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import recurra.data
from recurra.data.corpus import load_corpus
from recurra.data.dataset import Dataset
from recurra.data.pairs import PairConfig, load_pairs
from recurra.data.text import TextConfig

NEED_TORCH = {"batches", "pair_batches"}


@pytest.mark.parametrize(("load", "config"), [(load_corpus, TextConfig), (load_pairs, PairConfig)])
def test_all_that_is_loaded_has_one_form(write, load, config):
    train, test = write("train", "a b\tx y\n" * 20), write("test", "a\ty\n")
    options = {} if config is PairConfig else {"vocabulary": "words"}
    dataset = load(config(train=[train], valid=[train], test=[test], **options))
    assert isinstance(dataset, Dataset)
    assert dataset.digests.keys() == {"train", "valid", "test"}
    assert dataset.digests["train"] == dataset.digests["valid"] != dataset.digests["test"]
    assert type(dataset.train) is type(dataset.valid) is type(dataset.test)
    without = load(config(train=[train], valid=[train], **options), dataset.vocabularies)
    assert without.test is None
    assert without.vocabularies is dataset.vocabularies
    assert without.digests.keys() == {"train", "valid"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.train = dataset.valid


def test_what_configurations_are_made_of_does_not_import_torch():
    """So that the command line answers at once."""
    names = {path.stem for path in Path(recurra.data.__file__).parent.glob("*.py")} - NEED_TORCH
    assert {"text", "pairs", "corpus", "vocabularies", "dataset"} < names
    modules = [f"recurra.data.{name}" for name in sorted(names - {"__init__"})]
    code = f"import sys, {', '.join(modules)}; assert not {{'torch', 'sentencepiece'}} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

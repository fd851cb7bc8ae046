"""Sources in, hypotheses out, whatever their order and number."""

from __future__ import annotations

import pytest
import torch

from recurra.data.pair_vocabularies import encode_line
from recurra.decode.config import BeamConfig
from recurra.tasks import translation_search
from recurra.tasks.translation_search import bind, outputs_of, search, search_lines

LINES = ["ein hund isst rot", "", "rot", "der hund", "ein ein ein frau isst", " "]
BEAM = BeamConfig(beam_size=3, n_best=2)


@pytest.fixture
def sources(word_translator):
    return [encode_line(word_translator.vocabularies["source"], line)[0] for line in LINES]


def ids_of(found):
    return {number: [one.ids.tolist() for one in hypotheses] for number, hypotheses in found}


def test_a_model_is_bound_to_padded_sources_on_its_own_device(word_translator, sources):
    stepper, lengths = bind(word_translator.model, sources[2:4])
    assert lengths == [len(sources[2]), len(sources[3])]
    assert stepper.start().log_probs.shape[0] == 2


@pytest.mark.parametrize("greedily", [False, True])
def test_how_many_are_searched_together_changes_nothing(word_translator, sources, monkeypatch, greedily):
    model, full = word_translator.model.double(), [sources[0], *sources[2:5]]
    stop = word_translator.vocabularies["target"].eos_id
    with torch.no_grad():
        together = ids_of(search(model, full, BEAM, stop, greedily))
        monkeypatch.setattr(translation_search, "SOURCES_AT_ONCE", 1)
        assert ids_of(search(model, full, BEAM, stop, greedily)) == together
    model.float()
    assert set(together) == set(range(4))
    assert {len(hypotheses) for hypotheses in together.values()} == {1 if greedily else 2}


def test_empty_lines_are_not_searched_and_give_empty_outputs(word_translator, sources):
    vocabularies = word_translator.vocabularies
    with torch.no_grad():
        found = search_lines(word_translator.model, vocabularies, sources, LINES, BEAM)
        outputs = outputs_of(word_translator.model, vocabularies, sources, LINES, BEAM)
    assert sorted(found) == [0, 2, 3, 4]
    assert [number for number, text in enumerate(outputs) if not text] in ([1, 5], [1, 2, 5])
    assert outputs == [
        " ".join(vocabularies["target"].symbols[i] for i in found[n][0].ids.tolist()[:-1])
        if n in found
        else ""
        for n in range(6)
    ]

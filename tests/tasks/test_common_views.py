"""What every task's runs show: the rows that are measured, and the layers of every model."""

from __future__ import annotations

import pytest
import torch

from recurra.contracts import Batch
from recurra.errors import ConfigError, DataError
from recurra.tasks.common_views import first_rows, longest_rows


def windows(rows: int, *lengths: int) -> list[Batch]:
    """A stream in windows that continue each other."""
    ids = torch.arange(rows * sum(lengths)).reshape(rows, sum(lengths))
    batches, start = [], 0
    for length in lengths:
        part = ids[:, start : start + length]
        batches.append(Batch(part, part + 1, part.numel(), continues=start > 0))
        start += length
    return batches


def test_windows_are_joined_as_far_as_needed(capsys):
    batch = longest_rows(windows(5, 4, 4, 4), rows=3, length=7)
    assert batch.inputs.tolist() == [list(range(12 * row, 12 * row + 7)) for row in range(3)]
    assert torch.equal(batch.targets, batch.inputs + 1)
    assert capsys.readouterr().err == ""
    short = longest_rows(windows(2, 4, 3), rows=3, length=9)
    assert short.inputs.shape == (2, 7)
    assert "the data are short: 2 rows of 7 steps" in capsys.readouterr().err


def test_one_long_row_is_cut_into_several():
    batch = longest_rows([Batch(torch.arange(20)[None])], rows=3, length=6)
    assert batch.inputs.tolist() == [list(range(start, start + 6)) for start in (0, 6, 12)]


def test_of_ragged_rows_the_longest_are_taken():
    """The last batch has the longest examples; of it the longest rows."""
    early = Batch(torch.zeros(2, 2, dtype=torch.int64), lengths=torch.tensor([2, 1]))
    ids = torch.arange(12).reshape(3, 4)
    late = Batch(ids, ids[:, :1], 3, torch.tensor([2, 4, 3]), torch.tensor([1, 1, 1]))
    batch = longest_rows([early, late], rows=2, length=4)
    assert batch.lengths.tolist() == [4, 3]
    assert torch.equal(batch.inputs, ids[[1, 2]])
    assert torch.equal(batch.targets, ids[[1, 2], :1])


def test_one_step_is_too_short():
    with pytest.raises(DataError, match="expected at least 2 steps, got 1"):
        longest_rows(windows(3, 1), rows=2, length=5)
    assert len(first_rows(windows(3, 1)[0], 2)) == 2


def test_a_translator_shows_its_encoder_and_its_decoder(word_translator, tmp_path):
    views = word_translator.views()
    gates = views["gates"](text="der hund isst", stack="encoder", direction="backward")
    assert gates.name == "gates_c_layer1_backward"
    assert views["gates"](units=3).name == "gates_c_layer1"  # the decoder, on a validation pair
    with pytest.raises(ConfigError, match="stack: expected one of encoder, decoder, got 'encodr'"):
        views["gates"](stack="encodr")
    names = [path.name for path in views["gradients"](length=4, rows=2).save(tmp_path / "gradients.png")]
    assert "gradient_map_encoder.png" in names
    assert "gradient_map_decoder.png" in names


def test_a_transformer_has_none(word_translator):
    import recurra
    from recurra.models.transformer import Transformer
    from recurra.models.translation_config import EncoderDecoderConfig

    sizes = [len(word_translator.vocabularies[side]) for side in ("source", "target")]
    model = Transformer(EncoderDecoderConfig(architecture="transformer", hidden_size=6), *sizes).eval()
    with pytest.raises(ConfigError, match="this model has no recurrent layers to look into"):
        recurra.Run(word_translator.opened, model).views()["gates"]()

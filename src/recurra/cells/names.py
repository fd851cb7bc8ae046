"""The names of the built-in cells, and where each is defined: known without importing them."""

from __future__ import annotations

from recurra.errors import nearest

NAMES: dict[str, tuple[str, str]] = {
    "elman": ("recurra.cells.elman", "Elman"),
    "relu_elman": ("recurra.cells.elman", "ReluElman"),
    "simplified_gru": ("recurra.cells.gru", "SimplifiedGRU"),
    "gru": ("recurra.cells.gru", "GRU"),
    "gru_reset_after": ("recurra.cells.gru", "GRUResetAfter"),
    "lstm": ("recurra.cells.lstm", "LSTM"),
    "peephole_lstm": ("recurra.cells.lstm", "PeepholeLSTM"),
    "course_peephole_lstm": ("recurra.cells.lstm", "CoursePeepholeLSTM"),
    "layer_norm_lstm": ("recurra.cells.lstm", "LayerNormLSTM"),
    "coupled_lstm": ("recurra.cells.lstm", "CoupledLSTM"),
    "minimal_gated_unit": ("recurra.cells.gru", "MinimalGatedUnit"),
    "ind_rnn": ("recurra.cells.elman", "IndRNN"),
    "min_gru": ("recurra.cells.minimal", "MinGRU"),
    "min_lstm": ("recurra.cells.minimal", "MinLSTM"),
    "slstm": ("recurra.cells.slstm", "SLSTM"),
}
"""As in `--model.cell NAME` -> module and class."""


EXPECTED = "the name of a built-in cell, such as lstm (recurra.train takes a class of your own as cell=)"
"""What a configuration's `cell` is, in words."""


def nearest_name(name: str) -> str:
    """The built-in name most like a name, whatever its case, as " Did you mean 'x'?", or an empty string."""
    classes = {class_name.lower(): known for known, (_, class_name) in NAMES.items()}
    lower = name.lower()
    return nearest(classes.get(lower, lower), NAMES)


def is_path(name: str) -> bool:
    """Whether `name` has the form FILE.py:Class."""
    return ".py:" in name

"""Names that options of layers take."""

from __future__ import annotations

from typing import Literal, get_args

InitialState = Literal["zero", "learned", "random"]
INITIAL_STATES: tuple[str, ...] = get_args(InitialState)

Energy = Literal["dot", "scaled", "general", "additive", "normed_additive"]
ENERGIES: tuple[str, ...] = get_args(Energy)

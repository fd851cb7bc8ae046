"""Layers: modules over whole sequences."""

from typing import TYPE_CHECKING

from recurra.lazy import listing, resolver

if TYPE_CHECKING:  # the same names as below, for type checkers
    from recurra.layers.recurrent import Recurrent as Recurrent
    from recurra.layers.regularisation import Regularisation as Regularisation

_HOMES = {
    "Recurrent": "recurra.layers.recurrent",
    "Regularisation": "recurra.layers.regularisation",
}

__all__ = sorted(_HOMES)
__getattr__ = resolver(__name__, _HOMES)
__dir__ = listing(__name__, _HOMES)

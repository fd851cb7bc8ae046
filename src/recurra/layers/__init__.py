"""Layers: modules over whole sequences."""

from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation

__all__ = ["Recurrent", "Regularisation"]

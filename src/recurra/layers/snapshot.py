"""Noticing that layers have changed since their weights were packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils.weak import WeakIdKeyDictionary

from recurra.errors import ConfigError, StateError

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent


class Snapshot:
    """The tensors, modules and programs of layers that run one step at a time, as they are now.

    A write through `.data` cannot be seen, nor one to a tensor that was made in inference mode.

    Args:
        rnn: whose they are.
        method: what has to be called again once they are others.
        training: in which mode the layers run.
    """

    def __init__(self, rnn: Recurrent, method: str, training: bool) -> None:
        self._method = method
        modules = list(rnn.modules())
        self._modules = [
            (module._modules, name, child) for module in modules for name, child in module._modules.items()
        ]
        tensors = [
            (held, name, tensor)
            for module in modules
            for held in (module._parameters, module._buffers)
            for name, tensor in held.items()
            if tensor is not None
        ]
        # Tensors of inference mode do not count how often they are written to.
        self._counting = [
            (held, name, tensor, tensor.data_ptr(), tensor._version)
            for held, name, tensor in tensors
            if not tensor.is_inference()
        ]
        self._others = [(held, name, tensor) for held, name, tensor in tensors if tensor.is_inference()]
        cells = [rnn._cell(layer, 0) for layer in range(rnn.num_layers)]
        self._traced = [(cell, cell.traced_in(training)) for cell in cells]
        _watch([tensor for _, _, tensor, _, _ in self._counting])

    def check(self) -> None:
        """Raise once anything has changed.

        Raises:
            StateError: it has.
        """
        for held, name, tensor, pointer, version in self._counting:
            if held.get(name) is not tensor or tensor.data_ptr() != pointer or tensor._version != version:
                self._refuse("parameters")
        for held, name, tensor in self._others:
            if held.get(name) is not tensor:
                self._refuse("parameters")
        for children, name, module in self._modules:
            if children.get(name) is not module:
                self._refuse("modules")
        for cell, traced in self._traced:
            if traced.changed(cell) is not None:
                self._refuse("cell's equations")

    def _refuse(self, what: str) -> None:
        raise StateError(
            f"{self._method}: the {what} have changed since the weights were packed; call {self._method}() again."
        )


def check_one_direction(rnn: Recurrent, method: str) -> None:
    """Raise unless the layers can run one step at a time.

    Raises:
        ConfigError: they are bidirectional.
    """
    if rnn.bidirectional:
        raise ConfigError(
            f"{method}: a bidirectional layer cannot run one step at a time, since the backward direction "
            "needs the whole sequence; use one direction."
        )


# Fused optimisers write to parameters without counting it. So it is counted for them, for parameters of snapshots.
_watched: Any = WeakIdKeyDictionary()


def _watch(tensors: Sequence[Tensor]) -> None:
    if not _hooked:
        _hooked.append(register_optimizer_step_post_hook(_count_writes))
    for tensor in tensors:
        _watched[tensor] = True


_hooked: list[Any] = []


def _count_writes(optimiser: Optimizer, *_: Any) -> None:
    for group in optimiser.param_groups:
        for parameter in group["params"] if group.get("fused") else ():
            if parameter in _watched:
                torch.autograd.graph.increment_version(parameter)

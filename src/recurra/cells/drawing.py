"""Whether new modules draw their weights: not where others will be put in their place at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_drawing: ContextVar[bool] = ContextVar("drawing", default=True)

_FILLS = {
    Tensor.uniform_,
    Tensor.normal_,
    init.uniform_,
    init.normal_,
    init.trunc_normal_,
    init.xavier_uniform_,
    init.xavier_normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
    init.orthogonal_,
    init.sparse_,
}


def is_drawing() -> bool:
    """Whether a module under construction is to draw its weights."""
    return _drawing.get()


@contextmanager
def not_drawing() -> Iterator[None]:
    """Modules made in here get weights of the right shapes whose memory is not initialised.

    recurra's own modules ask `is_drawing`; random fills by others, such as `nn.Linear`, do nothing. So the generator
    stays as it is.
    """
    token = _drawing.set(False)
    try:
        with _WithoutFills():
            yield
    finally:
        _drawing.reset(token)


class _WithoutFills(TorchFunctionMode):
    """Tensors are not filled with random numbers."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function in _FILLS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)

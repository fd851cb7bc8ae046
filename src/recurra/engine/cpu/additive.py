"""The compiled energies of additive attention and their gradients, for float32 and float64.

S sources, K queries per source, Tx source length, A width.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from recurra.engine.cpu import build
from recurra.engine.cpu.kernel import declare, in_threads
from recurra.errors import BackendError

NUMBERS = ("sources", "queries", "positions", "width", "slices")
POINTERS = ("padding", "projected", "keys", "score", "energies", "d_projected", "d_keys", "d_score")


class _Call(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in NUMBERS),
        *((name, ctypes.c_void_p) for name in POINTERS),
    ]


@cache
def _library(double: bool) -> ctypes.CDLL:
    machine = build.machine(double)
    headers = (
        files("recurra.engine.cpu").joinpath(name).read_text(encoding="utf-8")
        for name in ("vector.h", "denormals.h", "additive.h")
    )
    defined = (
        f"#define REAL {machine.real}\n#define VECTOR_BYTES {machine.vector_bytes}\n#define NORM_EPSILON 0\n"
    )
    functions = ("recurra_energies", "recurra_d_projected", "recurra_d_keys")
    library = build.library(defined + "\n".join(headers), *functions)
    declare(library, *functions)
    return library


@cache
def obstacle(double: bool) -> str | None:
    """Why the kernels cannot be compiled or loaded here, or None; it is tried once in a process."""
    reason = build.obstacle()
    if reason is None:
        try:
            _library(double)
        except BackendError as error:
            reason = build.reason(error)
    return reason


def energies(projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor) -> Tensor:
    """`[S, K, Tx]`, -inf on padding; arguments and those of what follows as in `engine.additive`."""
    energies = keys.new_empty(*projected.shape[:2], keys.shape[1])
    slices = _slices(projected.shape[0] * projected.shape[1])
    _run("recurra_energies", slices, projected, keys, padding, score, energies=energies)
    return energies


def d_projected(
    projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor, d_energies: Tensor
) -> Tensor:
    """`[S, K, A]`."""
    slices = _slices(projected.shape[0] * projected.shape[1])
    given = (projected, keys, padding, score)
    gradient = projected.new_empty(projected.shape)
    _run("recurra_d_projected", slices, *given, energies=d_energies, d_projected=gradient)
    return gradient


def d_keys_and_score(
    projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor, d_energies: Tensor
) -> tuple[Tensor, Tensor]:
    """`[S, Tx, A]` and `[A]`."""
    slices = _slices(len(keys))
    d_keys, d_score = keys.new_zeros(keys.shape), score.new_zeros(slices, len(score))
    given = (projected, keys, padding, score)
    _run("recurra_d_keys", slices, *given, energies=d_energies, d_keys=d_keys, d_score=d_score)
    return d_keys, d_score.sum(0)


def _slices(rows: int) -> int:
    return max(1, min(rows, torch.get_num_threads()))


def _run(
    name: str, slices: int, projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor, **others: Tensor
) -> None:
    given = {"projected": projected, "keys": keys, "padding": padding, "score": score, **others}
    tensors = {pointer: one.contiguous() for pointer, one in given.items()}
    call = _Call(*projected.shape[:2], *keys.shape[1:], slices)
    for pointer, tensor in tensors.items():
        setattr(call, pointer, tensor.data_ptr())
    in_threads(getattr(_library(keys.dtype == torch.float64), name), call, slices)

"""Packing of a training state into named tensors and plain values, and back, bit for bit.

Names are prefixed: `model.`, `optimiser.<parameter>|<entry>`, `carried.` (the recurrent state) and
`generator.` (torch's random generators). What is not a tensor goes into plain JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from recurra.contracts import State
from recurra.errors import RunError, StateError, quoted, shortened

MODEL, OPTIMISER, CARRIED, GENERATOR = "model.", "optimiser.", "carried.", "generator."


FORMAT = 2
"""The format of `values.json`, under `format`; the first one had none."""


def current_values(values: Mapping[str, Any], source: object) -> dict[str, Any]:
    """The plain values of a resume state in the names of today, whichever version saved them.

    Raises:
        RunError: a later version saved them.
    """
    version = values.get("format", 1)
    if version not in (1, FORMAT):
        raise RunError(
            f"{source}: values.json has format {quoted(version)}, and this recurra reads 1 to {FORMAT}; "
            "resume with the version that saved it, or a later one."
        )
    current = dict(values)
    if version == 1:
        current["environment"] = current.pop("surroundings", None)
        for part in ("counters", "schedule"):
            if isinstance(current.get(part), Mapping):
                names = {"waited": "evaluations_since_best"}
                current[part] = {names.get(name, name): value for name, value in current[part].items()}
    return current


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and persistent buffer by name; what is tied is named once.

    The tensors share the model's memory.
    """
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach()
    return tensors


def apply_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: object) -> None:
    """Copy tensors, named as `model_tensors` names them, into a model.

    Args:
        model: has the same architecture as the one they come from.
        tensors: by name.
        source: where they come from, for the error message.

    Raises:
        RunError: a tensor is missing, not known, not finite, or has another shape or type.
    """
    own = model_tensors(model)
    for name in [*own, *tensors]:
        if name not in tensors:
            raise RunError(
                f"{source}: has no tensor {quoted(name)}, which this model needs; damaged or foreign."
            )
        if name not in own:
            raise RunError(
                f"{source}: holds a tensor {quoted(name)} that this model does not have; foreign weights."
            )
        if tensors[name].shape != own[name].shape or tensors[name].dtype != own[name].dtype:
            raise RunError(
                f"{source}: {name} expected {_describe(own[name])}, got {_describe(tensors[name])}; the "
                "weights belong to another configuration."
            )
        if tensors[name].is_floating_point() and not bool(tensors[name].isfinite().all()):
            raise RunError(f"{source}: {name} holds values that are not finite; put the original file back.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def pack_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors, each under its parameter's name."""
    return {
        f"{OPTIMISER}{name}|{entry}": value
        for name, parameter in model.named_parameters()
        for entry, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def unpack_optimiser(
    model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], source: object
) -> None:
    """Give the optimiser the state that `pack_optimiser` took.

    Raises:
        RunError: a tensor belongs to no parameter, is missing, or has another shape or type than the optimiser makes.
    """
    parameters = dict(model.named_parameters())
    entries: dict[str, dict[str, Tensor]] = {}
    for key, value in _under(OPTIMISER, tensors).items():
        name, _, entry = key.rpartition("|")
        entries.setdefault(name, {})[entry] = value
    optimiser.state.clear()
    expected = _entries_made(optimiser)
    for name, state in entries.items():
        parameter = parameters.get(name)
        if parameter is None:
            raise RunError(
                f"{source}: {quoted(OPTIMISER + name)} fits no parameter of this model; damaged or foreign."
            )
        for entry in [*expected, *state]:
            what = f"{source}: {quoted(f'{OPTIMISER}{name}|{entry}')}"
            if entry not in state:
                raise RunError(f"{what} is missing; damaged or foreign.")
            if entry not in expected:
                raise RunError(f"{what} is no part of this optimiser's state; damaged or foreign.")
            shape = torch.Size() if expected[entry].dim() == 0 else parameter.shape
            dtype = expected[entry].dtype if expected[entry].dim() == 0 else parameter.dtype
            if state[entry].shape != shape or state[entry].dtype != dtype:
                raise RunError(
                    f"{what} fits no parameter of this model: expected {str(dtype).removeprefix('torch.')} "
                    f"{list(shape)}, got {_describe(state[entry])}; damaged or foreign."
                )
            optimiser.state[parameter][entry] = state[entry].to(parameter.device)


def _entries_made(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors that an optimiser of this kind keeps of a parameter, by name, found by letting it make a step."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    options = {name: value for name, value in optimiser.param_groups[0].items() if name in optimiser.defaults}
    kind: Any = type(optimiser)
    trial = kind([{"params": [parameter], **options}])
    trial.step()
    return {name: value for name, value in trial.state[parameter].items() if isinstance(value, Tensor)}


def pack_generators(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's generators: the CPU's, and the device's where it has its own."""
    states = {f"{GENERATOR}cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states[f"{GENERATOR}cuda"] = torch.cuda.get_rng_state(device)
    return states


def unpack_generators(device: torch.device, tensors: Mapping[str, Tensor], source: object) -> None:
    """Set torch's generators to a packed state; one for a device that was not there then is left alone.

    Raises:
        RunError: the CPU generator's state is missing or damaged.
    """
    states = _under(GENERATOR, tensors)
    for name in states.keys() - {"cpu", "cuda"}:
        raise RunError(f"{source}: {quoted(GENERATOR + name)} is no generator; damaged or foreign.")
    if "cpu" not in states:
        raise RunError(f"{source}: has no tensor {GENERATOR}cpu; damaged or foreign.")
    try:
        torch.set_rng_state(states["cpu"])
        if device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], device)
    except (RuntimeError, TypeError) as error:
        raise RunError(f"{source}: {GENERATOR}* is no state of a generator; damaged or foreign.") from error


def pack_carried(state: State | None) -> dict[str, Tensor]:
    """The recurrent state carried from window to window, if there is one."""
    return {} if state is None else {CARRIED + name: tensor for name, tensor in state.tensors()}


def unpack_carried(tensors: Mapping[str, Tensor], device: torch.device, source: object) -> State | None:
    """The inverse of `pack_carried`.

    Raises:
        RunError: the names are not those of a state.
    """
    carried = _under(CARRIED, tensors)
    if not carried:
        return None
    try:
        return State.from_dict(carried).to(device)
    except StateError as error:
        raise RunError(f"{source}: {error}") from error


def unpack_model(model: nn.Module, tensors: Mapping[str, Tensor], source: object) -> None:
    """Copy the packed weights into the model; see `apply_weights`."""
    apply_weights(model, _under(MODEL, tensors), source)


def check_fingerprint(then: Mapping[str, Any], now: Mapping[str, str], source: object) -> None:
    """Compare the digests of data and program recorded with a run with those found now.

    Raises:
        RunError: one differs; the message names it.
    """
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            raise RunError(
                f"{source}: {shortened(key)} is not what the run was started with (digest "
                f"{_short(then.get(key))} then, {_short(now.get(key))} now); put the original back, or train a new run."
            )


def _short(digest: object) -> str:
    text = "none" if digest is None else str(digest)[:12]
    return text if text.isprintable() else quoted(text)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"

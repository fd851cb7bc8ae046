"""Classes of cells that no import finds: variants that are made on the way, and cells of a user's own file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from recurra.errors import CellError

if TYPE_CHECKING:
    from recurra.cells.cell import Cell

FILE_MODULE = "recurra_user_cell_"  # how the names of the modules begin that `resolve` makes of files


def variant(cell: type[Cell], attributes: Mapping[str, Any], name: str | None = None) -> type[Cell]:
    """A subclass of a cell that differs in some of its class attributes, and that pickle and copy can make again.

    Args:
        cell: the cell's class, itself a variant or not.
        attributes: by name; pickle must be able to find what they are.
        name: of the class; None for the cell's own.

    Returns:
        The same class for the same arguments; the cell itself where there are no attributes.
    """
    if not attributes:
        return cell
    base, before, _ = vars(cell).get("_variant_of", (cell, {}, None))
    variant_of = (base, {**before, **attributes}, name or cell.__name__)
    for known in base.__subclasses__():
        if vars(known).get("_variant_of") == variant_of:
            return known
    body = {"__module__": base.__module__, "__qualname__": name or base.__qualname__, "__doc__": base.__doc__}
    return type(variant_of[2], (base,), {**body, **variant_of[1], "_variant_of": variant_of})


def with_initial_bias(cell: type[Cell], values: Mapping[str, float]) -> type[Cell]:
    """A variant of a cell that differs in what some of its biases start with.

    Args:
        cell: the cell's class.
        values: by the name of a gate or, for its shift, of a norm.

    Raises:
        CellError: when the variant is constructed, if the cell has no such bias.
    """
    return variant(cell, {"initial_bias": {**cell.initial_bias, **values}} if values else {})


def reduced(cell: Cell, default: str | tuple[Any, ...]) -> str | tuple[Any, ...]:
    """What pickle and copy make a cell of again: `default`, but for the classes that they would not find."""
    base, attributes, name = vars(type(cell)).get("_variant_of", (type(cell), {}, None))
    module = sys.modules.get(base.__module__)
    if base.__module__.startswith(FILE_MODULE) and _named(module, base.__qualname__) is base:
        assert module is not None
        return (
            _of_file,
            (module.__file__, base.__module__, base.__qualname__, attributes, name),
            *default[2:],
        )
    return (_of_class, (base, attributes, name), *default[2:]) if attributes else default


def _named(module: Any, name: str) -> Any:
    try:
        return attrgetter(name)(module)
    except AttributeError:
        return None


def _of_class(cell: type[Cell], attributes: Mapping[str, Any], name: str | None) -> Cell:
    """An empty object of a variant, which pickle and copy then fill."""
    made = variant(cell, attributes, name)
    return made.__new__(made)


def _of_file(file: str, module: str, qualified: str, attributes: Mapping[str, Any], name: str | None) -> Cell:
    """The same, of a class from a file, which is not executed here: no pickle decides which of our files runs."""
    cell = _named(sys.modules.get(module), qualified)
    if cell is None:
        raise CellError(
            f"the pickle holds a cell of {file}; load its class first, with "
            f"recurra.cells.resolve('{file}:{qualified}')."
        )
    return _of_class(cell, attributes, name)

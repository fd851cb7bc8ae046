"""recurra: write the equations of a recurrent cell, train it, look inside it, use it.

Names are resolved when they are first used, so that `import recurra` costs nothing that is not needed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in _HOMES below, for type checkers
    from recurra import cells as cells, errors as errors
    from recurra.cells import Cell as Cell
    from recurra.contracts import (
        Batch as Batch,
        State as State,
        Step as Step,
        Stepper as Stepper,
    )
    from recurra.data.pairs import PairConfig as PairConfig
    from recurra.data.text import TextConfig as TextConfig
    from recurra.decode.config import BeamConfig as BeamConfig
    from recurra.errors import (
        BackendError as BackendError,
        CellError as CellError,
        ConfigError as ConfigError,
        DataError as DataError,
        RecurraError as RecurraError,
        RunError as RunError,
        ShapeError as ShapeError,
        StateError as StateError,
        TrainingError as TrainingError,
    )
    from recurra.layers import convert as convert
    from recurra.layers.recurrent import Recurrent as Recurrent
    from recurra.layers.regularisation import Regularisation as Regularisation
    from recurra.models.encoder_decoder import EncoderDecoder as EncoderDecoder
    from recurra.models.language_model import LanguageModel as LanguageModel
    from recurra.models.language_model_config import LanguageModelConfig as LanguageModelConfig
    from recurra.models.translation_config import EncoderDecoderConfig as EncoderDecoderConfig
    from recurra.tasks.averaging import average as average
    from recurra.tasks.life import load as load, resume as resume, train as train
    from recurra.tasks.lm import LMConfig as LMConfig
    from recurra.tasks.run import Run as Run
    from recurra.tasks.translate import (
        EvaluationConfig as EvaluationConfig,
        TranslateConfig as TranslateConfig,
    )
    from recurra.training.config import (
        PairTrainingConfig as PairTrainingConfig,
        TrainingConfig as TrainingConfig,
    )
    from recurra.training.optimiser_config import OptimiserConfig as OptimiserConfig
    from recurra.training.schedule import ScheduleConfig as ScheduleConfig

__version__ = "0.1.0"

_MODULES = {"cells": "recurra.cells", "convert": "recurra.layers.convert", "errors": "recurra.errors"}
"""Public name -> the module it is."""

_HOMES = {
    name: home
    for home, names in {
        "recurra.cells": ("Cell",),
        "recurra.contracts": ("Batch", "State", "Step", "Stepper"),
        "recurra.data.pairs": ("PairConfig",),
        "recurra.data.text": ("TextConfig",),
        "recurra.decode.config": ("BeamConfig",),
        "recurra.errors": (
            "BackendError",
            "CellError",
            "ConfigError",
            "DataError",
            "RecurraError",
            "RunError",
            "ShapeError",
            "StateError",
            "TrainingError",
        ),
        "recurra.layers.recurrent": ("Recurrent",),
        "recurra.layers.regularisation": ("Regularisation",),
        "recurra.models.encoder_decoder": ("EncoderDecoder",),
        "recurra.models.translation_config": ("EncoderDecoderConfig",),
        "recurra.models.language_model": ("LanguageModel",),
        "recurra.models.language_model_config": ("LanguageModelConfig",),
        "recurra.tasks.averaging": ("average",),
        "recurra.tasks.life": ("load", "resume", "train"),
        "recurra.tasks.lm": ("LMConfig",),
        "recurra.tasks.translate": ("EvaluationConfig", "TranslateConfig"),
        "recurra.tasks.run": ("Run",),
        "recurra.training.config": ("PairTrainingConfig", "TrainingConfig"),
        "recurra.training.optimiser_config": ("OptimiserConfig",),
        "recurra.training.schedule": ("ScheduleConfig",),
    }.items()
    for name in names
}
"""Public name -> the module that defines it."""

__all__ = ["__version__", *_MODULES, *_HOMES]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = import_module(_MODULES[name])
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'recurra' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# --- what PyTorch has to know -----------------------------------------------------------------------


def _introduce() -> None:
    """Make recurra's operators and State known to PyTorch: a graph that torch.export has saved asks for them."""
    import_module("recurra.operators")
    import_module("recurra.contracts")


class _AfterTorch(MetaPathFinder):
    """Introduces recurra once somebody imports PyTorch, which `import recurra` does not do."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = find_spec("torch")
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _introduce()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "torch" in sys.modules:
    _introduce()
else:
    sys.meta_path.insert(0, _AfterTorch())

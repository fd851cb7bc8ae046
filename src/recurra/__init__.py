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
    from recurra.cells.program import Node as Node, Program as Program
    from recurra.cells.traced import Traced as Traced
    from recurra.contracts import Batch as Batch, State as State, Step as Step, Stepper as Stepper
    from recurra.data.dataset import Dataset as Dataset
    from recurra.data.pairs import PairConfig as PairConfig
    from recurra.data.rows import Rows as Rows
    from recurra.data.text import TextConfig as TextConfig
    from recurra.data.vocabularies import Vocabularies as Vocabularies
    from recurra.data.vocabulary import Vocabulary as Vocabulary
    from recurra.decode.config import BeamConfig as BeamConfig, SamplingConfig as SamplingConfig
    from recurra.decode.decoding import Decoding as Decoding
    from recurra.decode.sample_options import SampleOptions as SampleOptions
    from recurra.decode.sampling import Sample as Sample
    from recurra.engine.backend import Layer as Layer
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
    from recurra.inspection.shown import Shown as Shown
    from recurra.layers import convert as convert
    from recurra.layers.attention import Memory as Memory
    from recurra.layers.recurrent import Recurrent as Recurrent
    from recurra.layers.regularisation import Regularisation as Regularisation
    from recurra.layers.streaming import Streaming as Streaming
    from recurra.layers.unroll import Unrolled as Unrolled
    from recurra.metrics.evaluation import Evaluation as Evaluation, Table as Table
    from recurra.metrics.score import Score as Score
    from recurra.models.decoder import DecoderState as DecoderState
    from recurra.models.encoder_decoder import EncoderDecoder as EncoderDecoder
    from recurra.models.language_model import (
        LanguageModel as LanguageModel,
        LanguageModelStepper as LanguageModelStepper,
    )
    from recurra.models.language_model_config import (
        LanguageModelConfig as LanguageModelConfig,
        LanguageModelRegularisation as LanguageModelRegularisation,
    )
    from recurra.models.translation_config import EncoderDecoderConfig as EncoderDecoderConfig
    from recurra.models.translator_stepper import (
        SourceRows as SourceRows,
        TranslatorState as TranslatorState,
        TranslatorStepper as TranslatorStepper,
    )
    from recurra.tasks.averaging import Average as Average, average as average
    from recurra.tasks.life import load as load, resume as resume, train as train
    from recurra.tasks.lm import LMConfig as LMConfig
    from recurra.tasks.opened import OpenedRun as OpenedRun
    from recurra.tasks.prediction import Prediction as Prediction
    from recurra.tasks.run import Run as Run
    from recurra.tasks.task import (
        Reading as Reading,
        Task as Task,
        TaskConfig as TaskConfig,
        View as View,
    )
    from recurra.tasks.translate import (
        EvaluationConfig as EvaluationConfig,
        TranslateConfig as TranslateConfig,
    )
    from recurra.training.config import (
        FitConfig as FitConfig,
        PairTrainingConfig as PairTrainingConfig,
        TrainingConfig as TrainingConfig,
    )
    from recurra.training.optimiser_config import OptimiserConfig as OptimiserConfig
    from recurra.training.result import Result as Result
    from recurra.training.run_directory import ResumeState as ResumeState, RunDirectory as RunDirectory
    from recurra.training.schedule import ScheduleConfig as ScheduleConfig

__version__ = "0.1.0"

_MODULES = {"cells": "recurra.cells", "convert": "recurra.layers.convert", "errors": "recurra.errors"}
"""Public name -> the module it is."""

_HOMES = {
    name: home
    for home, names in {
        "recurra.cells": ("Cell",),
        "recurra.cells.program": ("Node", "Program"),
        "recurra.cells.traced": ("Traced",),
        "recurra.contracts": ("Batch", "State", "Step", "Stepper"),
        "recurra.data.dataset": ("Dataset",),
        "recurra.data.pairs": ("PairConfig",),
        "recurra.data.rows": ("Rows",),
        "recurra.data.text": ("TextConfig",),
        "recurra.data.vocabularies": ("Vocabularies",),
        "recurra.data.vocabulary": ("Vocabulary",),
        "recurra.decode.config": ("BeamConfig", "SamplingConfig"),
        "recurra.decode.decoding": ("Decoding",),
        "recurra.decode.sample_options": ("SampleOptions",),
        "recurra.decode.sampling": ("Sample",),
        "recurra.engine.backend": ("Layer",),
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
        "recurra.inspection.shown": ("Shown",),
        "recurra.layers.attention": ("Memory",),
        "recurra.layers.recurrent": ("Recurrent",),
        "recurra.layers.regularisation": ("Regularisation",),
        "recurra.layers.streaming": ("Streaming",),
        "recurra.layers.unroll": ("Unrolled",),
        "recurra.metrics.evaluation": ("Evaluation", "Table"),
        "recurra.metrics.score": ("Score",),
        "recurra.models.decoder": ("DecoderState",),
        "recurra.models.encoder_decoder": ("EncoderDecoder",),
        "recurra.models.language_model": ("LanguageModel", "LanguageModelStepper"),
        "recurra.models.language_model_config": ("LanguageModelConfig", "LanguageModelRegularisation"),
        "recurra.models.translation_config": ("EncoderDecoderConfig",),
        "recurra.models.translator_stepper": ("SourceRows", "TranslatorState", "TranslatorStepper"),
        "recurra.tasks.averaging": ("Average", "average"),
        "recurra.tasks.life": ("load", "resume", "train"),
        "recurra.tasks.lm": ("LMConfig",),
        "recurra.tasks.opened": ("OpenedRun",),
        "recurra.tasks.prediction": ("Prediction",),
        "recurra.tasks.run": ("Run",),
        "recurra.tasks.task": ("Reading", "Task", "TaskConfig", "View"),
        "recurra.tasks.translate": ("EvaluationConfig", "TranslateConfig"),
        "recurra.training.config": ("FitConfig", "PairTrainingConfig", "TrainingConfig"),
        "recurra.training.result": ("Result",),
        "recurra.training.optimiser_config": ("OptimiserConfig",),
        "recurra.training.run_directory": ("ResumeState", "RunDirectory"),
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

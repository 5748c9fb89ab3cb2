"""One frozen value that says everything about an experiment: the kinds (`kinds`) and the sections that they are made of.

The first words of every field's description are its unit or its kind: forms and ``--help`` show the same text.
Widget ranges do not live here: this package only refuses what can never be right.
"""

from core.config.addresses import ServedAddress, is_address
from core.config.base import Config
from core.config.chains import AnchorSpec, BridgeSpec, ChainSpec
from core.config.data import DataSpec, MaskingSpec, TaskSpec
from core.config.ensembles import EnsembleSpec, MemberSpec
from core.config.evaluation import EvaluationSpec, RetentionSpec
from core.config.experiment import ORDER, SECTIONS, ExperimentConfig, Kind
from core.config.images import ImagesSpec, MlpSpec
from core.config.kinds import (
    KINDS,
    AnyExperiment,
    BridgeConfig,
    ChainConfig,
    DistillConfig,
    EnsembleConfig,
    FineTuneConfig,
    PretrainConfig,
    ReadingConfig,
    SpecialistsConfig,
)
from core.config.losses import LossSpec, Ramp
from core.config.models import LayerRule, LoraSpec, ScratchSpec, ServerSpec, SignalSpec, StudentSpec, TeacherSpec
from core.config.reading import ChatServerSpec, ReadingSpec
from core.config.specialists import SpecialistsSpec
from core.config.training import Tracker, TrainSpec, total_steps

__all__ = [
    "KINDS",
    "ORDER",
    "SECTIONS",
    "AnchorSpec",
    "AnyExperiment",
    "BridgeConfig",
    "BridgeSpec",
    "ChainConfig",
    "ChainSpec",
    "ChatServerSpec",
    "Config",
    "DataSpec",
    "DistillConfig",
    "EnsembleConfig",
    "EnsembleSpec",
    "EvaluationSpec",
    "ExperimentConfig",
    "FineTuneConfig",
    "ImagesSpec",
    "Kind",
    "LayerRule",
    "LoraSpec",
    "LossSpec",
    "MaskingSpec",
    "MemberSpec",
    "MlpSpec",
    "PretrainConfig",
    "Ramp",
    "ReadingConfig",
    "ReadingSpec",
    "RetentionSpec",
    "ScratchSpec",
    "ServedAddress",
    "ServerSpec",
    "SignalSpec",
    "SpecialistsConfig",
    "SpecialistsSpec",
    "StudentSpec",
    "TaskSpec",
    "TeacherSpec",
    "Tracker",
    "TrainSpec",
    "is_address",
    "total_steps",
]

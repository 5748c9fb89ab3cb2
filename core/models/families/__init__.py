"""The table of architectures: one entry each, in `decoders` and `encoders`."""

from __future__ import annotations

from core.models.architecture_spec import ArchitectureSpec
from core.models.families.decoders import DECODERS
from core.models.families.encoders import ENCODERS

ARCHITECTURE_SPECS: dict[str, ArchitectureSpec] = {architecture.model_type: architecture for architecture in (*DECODERS, *ENCODERS)}

"""What a process other than rank 0 does of a run of specialists: it trains its share of the networks (`core.specialists.sharing`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.config import SpecialistsConfig
from core.recipes import parse_recipe
from core.recorder import NullRecorder, StopRequested
from core.specialists.experiment import Repetition
from core.specialists.networks import SpecialistData, load_data
from core.specialists.sharing import STOPPING
from core.system.devices import resolve_device


class Helper:
    """What a process other than rank 0 does: it trains its share, and keeps the data for the next one.

    Args:
        load: loads the model of a reference.
    """

    def __init__(self, load: Callable[..., Any]) -> None:
        self._load = load
        self._held: tuple[str, SpecialistData] | None = None

    def train(self, order: Mapping[str, Any]) -> None:
        """Train the share of what `train_shared` sent."""
        config, folder = parse_recipe(dict(order["config"])), Path(order["folder"])
        assert isinstance(config, SpecialistsConfig), "rank 0 has sent it"
        recorder = NullRecorder((folder / STOPPING).exists)
        repetition = Repetition(self._data(config), config.specialists, config.train, config.losses, order["seed"], folder, recorder,
                                str(resolve_device(config.train.device)))
        with suppress(StopRequested):  # rank 0 has heard it first
            repetition.help(order["names"], order["details"])

    def _data(self, config: SpecialistsConfig) -> SpecialistData:
        key = config.to_yaml()
        if self._held is None or self._held[0] != key:
            self._held = key, load_data(config.specialists, self._load)
        return self._held[1]

"""What the processes of a run are given, and where they leave what they have to say.

    <run>/ranks/
        job.json          configuration, models and command line of the run; written before the processes start
        records.jsonl     numbers and events of rank 0, and how it ended (`workbench.launch.records`)
        stop              is there where the run shall stop
        <rank>.log        what a process printed
        <rank>.error.json the error that ended a process
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import ExperimentConfig
from core.recipes import parse_recipe
from core.recorder import NullRecorder
from core.system import ranks
from core.system.files import read_json, write_json
from workbench.errors import StoreError

if TYPE_CHECKING:
    from core.models.entries import LoadedModel

FOLDER, STOP = "ranks", "stop"
SHOWN = ("name", "kind", "source", "description")  # of a model's entry: how the run's own store calls it


@dataclass(frozen=True)
class Job:
    """A run, without the store that it comes from.

    Attributes:
        directory: the run's folder.
        models: reference of the configuration -> what `workbench.store.references.places` says of it.
        command: the line that repeats the run.
        files: absolute paths of the data that the configuration names.
    """

    directory: Path
    config: ExperimentConfig
    models: Mapping[str, Mapping[str, Any]]
    command: str
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its processes write."""
        return self.directory / FOLDER

    def write(self) -> None:
        """Write ``job.json``."""
        write_json(self.folder / "job.json", {"config": self.config.to_dict(), "models": self.models, "command": self.command})

    @classmethod
    def read(cls, directory: Path) -> Job:
        """Read ``job.json`` of a run's folder. Raises StoreError where there is none."""
        plain = read_json(directory / FOLDER / "job.json")
        if not isinstance(plain, dict):
            raise StoreError(f"'{directory / FOLDER}' has no job.json.", "The folder of a run that was launched was expected.",
                             "Is this folder shared between the machines?")
        return cls(directory, parse_recipe(plain["config"]), plain["models"], plain["command"])

    def send(self) -> None:
        """Tell the processes that were started together with this one, from rank 0, what run it is (`follow`)."""
        ranks.send({"directory": str(self.directory), "config": self.config.to_dict(), "models": self.models, "command": self.command})

    @classmethod
    def follow(cls) -> None:
        """Train with rank 0 the run that it tells of (`send`), until it has ended."""
        from core.methods import run_experiment

        plain = ranks.receive()
        job = cls(Path(plain["directory"]), parse_recipe(plain["config"]), plain["models"], plain["command"])
        run_experiment(job.config, NullRecorder(), job.directory, load=job.loader(), command=job.command)

    def loader(self) -> Callable[..., LoadedModel]:
        """Return `core.models.catalog.load` that knows the models of the run as its store does."""
        from core.models import catalog

        def load(reference: str, **options: Any) -> LoadedModel:
            place = self.models.get(reference)
            if place is None:
                return catalog.load(reference, **options)
            loaded = catalog.load(place["path"], **options)
            return replace(loaded, entry=replace(loaded.entry, **{name: place[name] for name in SHOWN}))

        return load

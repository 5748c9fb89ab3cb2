"""A bundle that reproduces runs elsewhere: their recipes with portable references, hashes, versions, what was measured, and a script.

    recipes/<run>.yaml    recipes; files are named relative to the bundle
    data/, models/        files that the recipes read: included on request, else named by their SHA-256
    manifest.json         runs in the order in which they are run, those that others build on first; files; versions
    requirements.txt      releases of the libraries
    reproduce.py          checks the files, runs the recipes, compares (`workbench.store.reproduce`)
    README.md             how
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from core.config import ChainConfig
from core.errors import ConfigError
from core.events import Evaluation
from core.models.ensembles import parse_ensemble
from workbench.errors import RunNotFoundError, StoreUnavailableError
from workbench.store import reproduce
from workbench.store.named_files import FILE_KEYS
from workbench.store.records import Run
from workbench.store.store import RUN_ID, Store

MODEL_KEYS = ("teacher.model", "student.model", "bridge.model", "reading.model", "specialists.model")
NAMING = {key.rpartition(".")[2] for key in (*FILE_KEYS, *MODEL_KEYS)} - {"prompts"}  # last parts of such keys, wherever they are
MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # of a folder; never a pickle
OWN_VERSIONS = ("python", "stillhouse")  # no packages to install by these names


def bundle(runs: Sequence[Run], store: Store, *, whole: bool = False) -> bytes:
    """Return the bundle of finished runs as a zip archive.

    Args:
        whole: include the data and the models that are files here.

    Raises:
        ConfigError: a recipe that this release does not read, or one that names what no bundle holds: a folder of images, a run or a
            folder as one of several models.
        StoreUnavailableError: a file that a recipe names is gone, or a run that another builds on.
    """
    made = _Bundle(store)
    for run in runs:
        made.add(run)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path, text in made.documents(whole).items():
            archive.writestr(zipfile.ZipInfo(path), text, zipfile.ZIP_DEFLATED)  # its date is fixed: a clock may be before 1980
        for name, place in made.files.items() if whole else ():
            archive.write(place, name)
    return target.getvalue()


class _Bundle:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.runs: dict[str, dict[str, Any]] = {}  # run id -> its entry, in the order in which they are run
        self.recipes: dict[str, str] = {}  # path in the bundle -> YAML
        self.files: dict[str, Path] = {}  # path in the bundle -> file here
        self.versions: Mapping[str, str] = {}
        self._models: dict[Path, str] = {}

    def add(self, run: Run) -> None:
        """Add a run, and before it those that it builds on."""
        if run.id in self.runs:
            return
        plain = run.config.to_dict()
        models: dict[str, tuple[str, str]] = {}
        for key in MODEL_KEYS:
            reference = _get(plain, key)
            if reference in run.parents:
                parent, _, part = run.parents[reference].partition(":")
                self.add(self._parent(parent, run))
                models[key] = parent, f"anchors/{part}" if part.isdecimal() else part
            elif isinstance(reference, str) and Path(reference).is_absolute():
                _set(plain, key, f"./{self._model(Path(reference))}")
        for key in FILE_KEYS:
            named = _get(plain, key)
            if isinstance(named, list):
                _set(plain, key, list(map(self._portable, named)))
            elif named is not None:
                _set(plain, key, self._portable(named))
        _require_portable(plain, run, {_get(plain, key) for key in models})
        recipe = f"recipes/{run.name}.yaml"
        self.recipes[recipe] = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
        self.versions = self.versions or run.versions
        self.runs[run.id] = {
            "id": run.id, "name": run.name, "seed": run.seed, "recipe": recipe, "models": models,
            "verb": "chain" if isinstance(run.config, ChainConfig) else "distill", "command": run.command, "commit": run.git_commit,
            "versions": run.versions, "device": run.device, "data": self._digest(run), "measured": self._measured(run)}

    def _portable(self, named: Any) -> Any:
        """Return a data set as a recipe of the bundle names it: a file relative to the bundle, any other as it is."""
        here = isinstance(named, str) and Path(named).is_absolute() and not Path(named).is_dir()
        return f"./{self._data(Path(named))}" if here else named

    def documents(self, whole: bool) -> dict[str, str]:
        """Return the text files of the bundle."""
        files = [{"path": name, "sha256": reproduce.sha256(place), "bytes": place.stat().st_size, "included": whole, "was": place.name}
                 for name, place in self.files.items()]
        manifest = {"runs": list(self.runs.values()), "files": files, "versions": dict(self.versions)}
        packages = [f"{name}=={version.partition('+')[0]}" for name, version in self.versions.items() if name not in OWN_VERSIONS]
        return {"manifest.json": json.dumps(manifest, indent=1), **self.recipes, "requirements.txt": "\n".join(packages) + "\n",
                "reproduce.py": Path(reproduce.__file__).read_text(encoding="utf-8"), "README.md": self._readme(files, whole)}

    def _readme(self, files: Iterable[Mapping[str, Any]], whole: bool) -> str:
        listed = "".join(f"- `{each['path']}`, SHA-256 `{each['sha256']}`{'' if whole else ', not included'}\n" for each in files)
        runs = "".join(f"- {each['name']}, seed {each['seed']}\n" for each in self.runs.values())
        release = self.versions.get("stillhouse", "")
        return (f"# Reproduce {len(self.runs)} runs of Stillhouse {release}\n\n{runs}\nIn the environment of Stillhouse:\n\n"
                "    python reproduce.py\n\nor, with a checkout of it that is not installed, `python reproduce.py --stillhouse FOLDER`. "
                "The script checks the files,\ntrains, and compares every metric with what is recorded in `manifest.json`. Runs are kept "
                "in `home/`.\nReleases of the libraries stand in `requirements.txt`; other releases and processors give slightly other "
                f"numbers.\n\n## Files\n\n{listed or 'None: everything ships with Stillhouse or is fetched.'}")

    def _parent(self, run_id: str, child: Run) -> Run:
        try:
            return self.store.run(run_id)
        except RunNotFoundError as error:
            raise StoreUnavailableError(f"The run '{child.name}' builds on the run {run_id}, which was deleted.",
                                        "A run that is still here was expected.", "Bundle another recipe.") from error

    def _data(self, place: Path) -> str:
        if not place.is_file():
            raise StoreUnavailableError(f"The data '{place}' are not there any more.", "The file of the recipe was expected.",
                                        "Put it back, or bundle another recipe.")
        return self._named("data", place)

    def _model(self, place: Path) -> str:
        if place in self._models:
            return self._models[place]
        if not place.exists():
            raise StoreUnavailableError(f"The model '{place}' is not there any more.", "The model of the recipe was expected.",
                                        "Put it back, or bundle another recipe.")
        if place.is_file():
            self._models[place] = self._named("models", place)
            return self._models[place]
        folder = _free(f"models/{place.name}", {os.path.dirname(name) for name in self.files})
        for path in sorted({path for pattern in MODEL_FILES for path in place.glob(pattern) if path.is_file()}):
            self.files[f"{folder}/{path.name}"] = path
        self._models[place] = folder
        return folder

    def _named(self, folder: str, place: Path) -> str:
        known = next((name for name, path in self.files.items() if path == place), None)
        name = known or _free(f"{folder}/{place.name}", set(self.files))
        self.files[name] = place
        return name

    def _digest(self, run: Run) -> str | None:
        report = self.store.report(run.id)
        data = getattr(report, "data", None)
        return data.digest if data is not None else None

    def _measured(self, run: Run) -> dict[str, Mapping[str, float]]:
        found = (Evaluation.from_dict(event.payload) for event in self.store.events(run.id, kind=Evaluation.kind))
        return {each.subject: each.metrics for each in found if each.anchor is None}


def _free(name: str, taken: set[str]) -> str:
    """Return a name in the bundle that no other file has."""
    path, number = Path(name), 2
    while name in taken:
        name = (path.parent / f"{path.stem}-{number}{path.suffix}").as_posix()
        number += 1
    return name


def _require_portable(plain: Mapping[str, Any], run: Run, known: Collection[Any]) -> None:
    """Raise ConfigError for a recipe that still names something of this machine.

    Args:
        known: references to runs that are bundled too.
    """
    for text in _references(plain):
        ensemble = parse_ensemble(text)
        for named in ensemble.members if ensemble is not None else (text,):
            if Path(named).is_absolute() or RUN_ID.match(named) or (named in run.parents and named not in known):
                raise ConfigError(f"The recipe of '{run.name}' names '{named}', which no bundle holds.",
                                  "Files, and runs or folders that are a teacher or a student, are bundled.",
                                  "Bundle another run, or train one from a file in its place.")


def _references(plain: Any) -> Iterator[str]:
    """Yield the models and data sets that plain data of a recipe name."""
    for value in plain if isinstance(plain, list) else ():
        yield from _references(value)
    for key, value in plain.items() if isinstance(plain, Mapping) else ():
        if key in NAMING:
            yield from (value if isinstance(value, list) else [value] if value is not None else [])
        else:
            yield from _references(value)


def _get(plain: Mapping[str, Any], key: str) -> Any:
    found: Any = plain
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _set(plain: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        plain[section] = dict(plain[section])
        plain = plain[section]
    plain[leaf] = value

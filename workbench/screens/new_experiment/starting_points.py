"""Where a new experiment begins: a recipe of the project, one that was uploaded, or the configuration of a run."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config import ChainConfig, EnsembleConfig, ExperimentConfig, FineTuneConfig, SpecialistsConfig
from core.errors import ConfigError
from core.recipes import apply_overrides, parse_recipe, parse_yaml, read_recipe
from core.system.paths import PROJECT
from workbench.sharing import packed
from workbench.store import Store, references

RECIPES = Path("assets", "recipes")  # relative to the project's folder, as commands name them
FIRST = "quickstart"
UNLISTED = ("smoke",)  # for trying a change of the code


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """What the form holds before anybody changes it.

    Attributes:
        label: how the page calls it.
        config: the whole configuration.
        recipe: the shipped recipe it comes from, relative to the project's folder; None for uploads and runs.
    """

    label: str
    config: ExperimentConfig
    recipe: Path | None = None


@functools.cache
def shipped() -> dict[str, Path]:
    """Return the project's recipes of one student by name, the quickstart first; other kinds have pages of their own."""
    read = {path: read_recipe(path) for path in sorted((PROJECT / RECIPES).glob("*.yaml"))}
    found = {path.stem: path.relative_to(PROJECT) for path, config in read.items()
             if not isinstance(config, (ChainConfig, EnsembleConfig, FineTuneConfig, SpecialistsConfig))
             and path.stem not in UNLISTED}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != FIRST, name))}


def from_recipe(name: str) -> StartingPoint:
    """Return a shipped recipe. Raises ConfigError for a name that is not one."""
    recipes = shipped()
    if name not in recipes:
        raise ConfigError(f"There is no recipe '{name}'.", f"Recipes here: {', '.join(recipes)}.")
    return StartingPoint(name, read_recipe(PROJECT / recipes[name]), recipes[name])


def from_upload(file_name: str, content: bytes) -> StartingPoint:
    """Return an uploaded recipe. Raises ConfigError if it is invalid."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{file_name}' is not UTF-8 text.", "A YAML recipe was expected.") from error
    config = parse_recipe(parse_yaml(text, file_name))
    if isinstance(config, EnsembleConfig):
        raise ConfigError(f"'{file_name}' describes an ensemble of classifiers of images.", "A recipe of one student was expected.",
                          "Train it with the command line, or fill in the page Ensemble.")
    return StartingPoint(file_name, config)


def from_run(reference: str, store: Store) -> StartingPoint:
    """Return the configuration of a run. Raises RunNotFoundError."""
    run = store.run(reference)
    return StartingPoint(f"run {run.name}", references.duplicate(run, store))


def from_url(parameters: Mapping[str, str], overrides: Sequence[str], store: Store) -> tuple[StartingPoint, ExperimentConfig]:
    """Return what a link requests: ``from`` names a run, ``recipe`` a shipped recipe, each ``set`` a change to it.

    A link may hold the recipe itself instead (`workbench.sharing.packed`).

    Returns:
        The starting point, and the configuration with the changes.
    """
    if packed.is_link(parameters):
        linked = packed.from_query(parameters)
        start = StartingPoint("link", linked)
        return start, parse_recipe(apply_overrides(linked.to_dict(), overrides)) if overrides else linked
    start = from_run(parameters["from"], store) if "from" in parameters else from_recipe(parameters.get("recipe", FIRST))
    config = parse_recipe(apply_overrides(start.config.to_dict(), overrides)) if overrides else start.config
    return start, config

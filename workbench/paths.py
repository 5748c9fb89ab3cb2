"""Paths within the home folder, which holds everything that a user makes; those of code and assets are in `core.system.paths`.

    <home>/                 STILLHOUSE_HOME, default ~/.stillhouse
    ├── store.sqlite        runs, metrics, events (`workbench.store`)
    ├── runs/<run id>/      one folder a run: recipe, log, checkpoints, student
    ├── bin/                run folders on their way out (`Store.purge`)
    ├── uploads/            corpora given through the browser
    ├── models/             models fetched or converted once
    ├── made/<chain>/       models of any size, made on demand from a chain
    ├── exports/<name>/     models exported for the browser (`core.export`)
    ├── browser/            what runs them there (`core.export.browser_runtime`)
    ├── claims/<NAME>/      what came of a claim that was checked here (`core.studies.claims.outcomes`)
    ├── deployments/<name>/ what became of a comparison of a model's forms (`core.reports.deployment`)
    ├── lessons.json            what was guessed and run in lessons (`workbench.lessons.guesses`)
    ├── classes/<id>.sqlite     a class: who takes part, guesses, runs, votes (`workbench.classroom`)
    ├── gate.key            signs the cookies of those who logged in
    ├── sessions/           who is logged in, a file each (`workbench.web.sessions`)
    ├── engine.log          what the process in which models answer has to say
    └── cache/              what can be made again
"""

from __future__ import annotations

import os
from pathlib import Path

from core.system import paths as engine
from core.system import reach


def home() -> Path:
    """Return the folder of all state, absolute; it need not exist yet."""
    return engine.home().absolute()


def store_path() -> Path:
    """Return the SQLite file of the runs."""
    return home() / "store.sqlite"


def uploads_dir() -> Path:
    """Corpora given through the browser."""
    return home() / "uploads"


def generated_dir() -> Path:
    """Models of any size, made on demand: a folder a chain."""
    return home() / "made"


def exports_dir() -> Path:
    """Models exported for the browser: a folder each."""
    return home() / "exports"


def lessons_path() -> Path:
    """Return the file of what was guessed and run in lessons."""
    return home() / "lessons.json"


def classes_dir() -> Path:
    """Classes: a SQLite file each."""
    return home() / "classes"


def visitors_folders() -> list[Path]:
    """Return the folders from which visitors may name data and models: those of this home and what ships, then those of the setting."""
    own = [uploads_dir(), home() / "runs", home() / "models", generated_dir(), exports_dir(), engine.ASSETS]
    named = os.environ.get(reach.FOLDERS, "").split(os.pathsep)
    return own + [Path(os.path.expanduser(folder)).absolute() for folder in named if folder]


def engine_log() -> Path:
    """Return the log file of the process in which models answer (`workbench.inference`)."""
    return home() / "engine.log"

"""A recipe as a Python script and as a notebook that run it without the app."""

from __future__ import annotations

import json
import textwrap

from core import __version__
from core.config import ExperimentConfig

IMPORTS = """\
from pathlib import Path

from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe, parse_yaml
from core.recorder import ListRecorder
from workbench.store import Store, references
"""
RUN = """\
config = parse_recipe(parse_yaml(RECIPE, "{name}"))
recorder = ListRecorder()
store = Store()  # finds models of runs and of chains by their names
report = run_experiment(references.resolved(config, store), recorder, Path("{name}-run"), load=catalog.load)
"""
SHOW = """\
for subject, metrics in report.metrics.items():
    for name, value in sorted((metrics or {}).items()):
        print(f"{subject:16} {name:20} {value:.6g}")
"""
CURVE = """\
# Step -> loss of the student; "control" is the other variant.
recorder.series("student", "loss")
"""
WHERE = ("It needs Stillhouse {version} in the environment: `pip install .` in the project's folder, or keep this file there.")


def script(config: ExperimentConfig) -> str:
    """Return a Python script that runs a configuration and prints what was measured.

    It runs where Stillhouse is installed, or from a file in the project's folder.
    """
    name = config.name or "experiment"
    note = textwrap.fill(WHERE.format(version=__version__), 100)
    body = textwrap.indent(f"{RUN.format(name=name)}{SHOW}", "    ")
    return f'"""{name}, as Stillhouse runs it.\n\n{note}\n"""\n\n{IMPORTS}\n{_recipe(config)}\n\nif __name__ == "__main__":\n{body}'


def notebook(config: ExperimentConfig) -> str:
    """Return the same as a Jupyter notebook (nbformat 4.5), as JSON."""
    name = config.name or "experiment"
    words = [f"# {name}", config.description, WHERE.format(version=__version__)]
    code = (IMPORTS, _recipe(config), RUN.format(name=name), SHOW, CURVE)
    cells = [_cell("markdown", "\n\n".join(filter(None, words))), *(_cell("code", text) for text in code)]
    plain = {"cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)], "nbformat": 4, "nbformat_minor": 5,
             "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                          "language_info": {"name": "python"}}}
    return json.dumps(plain, indent=1)


def _recipe(config: ExperimentConfig) -> str:
    """Return the line that holds the recipe; nothing in a recipe ends the text early or is read as an escape."""
    text = config.to_yaml()
    if '"""' in text or "\\" in text or text.endswith('"'):
        return f"RECIPE = {json.dumps(text)}\n"
    return f'RECIPE = """\\\n{text}"""\n'


def _cell(kind: str, text: str) -> dict[str, object]:
    source = text.rstrip("\n").splitlines(keepends=True)
    return {"cell_type": kind, "metadata": {}, "source": source} | ({"outputs": [], "execution_count": None} if kind == "code" else {})

"""Who may import whom, and what the web process must never load.

    core        the engine: no user interface, no store
    workbench   the application: imports core
    pages       thin scripts: Streamlit and the workbench

Inside `core/` and inside the workbench, packages lie on floors, and imports go down: `CORE_FLOORS`, `FLOORS`. Imports inside
functions and under TYPE_CHECKING count too, so that no circle hides in them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in ("core", "workbench", "pages")}

FORBIDDEN_IN_CORE = {"workbench", "pages", "streamlit", "gradio", "plotly", "altair", "sqlite3", "starlette", "fastapi", "uvicorn"}
ALLOWED_IN_PAGES = {"workbench", "streamlit"}
HEAVY = ("torch", "transformers", "datasets", "accelerate", "peft")

# These load the engine on purpose, in processes of their own: the training worker, the generating server, a verb in the terminal.
OTHER_PROCESSES = {"workbench.runs.worker", "workbench.inference.server", "workbench.terminal.cli", "workbench.__main__"}
# The engine modules that the web process uses.
LIGHT_CORE = ("core.config", "core.errors", "core.events", "core.recorder", "core.metrics", "core.models.catalog",
              "core.students.layer_maps", "core.planning.plan", "core.studies.claims.registry", "core.studies.claims.running",
              "core.studies.claims.outcomes", "core.data.movie_reviews", "core.data.sources", "core.export.exporting",
              "core.export.browser_runtime", "core.reports.retention_card", "core.reports.run_report", "core.evaluation.flops")

# The packages of the engine and the modules beside them, from the ground up; neighbours on one floor do not know each other.
CORE_FLOORS = (
    ("loss_terms",),
    ("errors", "events", "metrics", "recipe_keys"),
    ("config", "recorder", "system"),
    ("recipes",),
    ("models",),
    ("data",),
    ("export", "generation", "signals", "students"),
    ("training",),
    ("evaluation", "tasks"),
    ("chains", "classification", "reading", "reports"),
    ("specialists",),
    ("methods",),
    ("planning", "studies"),
)

# The packages of the workbench and the modules beside them, from the ground up; neighbours on one floor do not know each other.
FLOORS = (
    ("error_mapping", "errors", "mounts", "paths", "processes", "settings"),
    ("web",),
    ("auth", "launch", "lessons", "sharing", "store"),
    ("inference", "runs", "studies", "teacher_server"),
    ("classroom",),
    ("chat", "downloads", "on_device", "screens"),
    ("app",),
    ("serve",),
    ("terminal",),
    ("__main__", "ui"),
)


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file, read once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path, *, module_level: bool = False) -> set[str]:
    """Dotted names that a file imports; with `module_level`, leaving out imports inside functions and for type checkers."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))
        if not (module_level and inside):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(parsed(path))
    return names


def own_modules(path: Path, modules: set[str]) -> set[str]:
    """Those of `modules` that a file imports anywhere, ``from workbench.store import records`` as the module it names."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {member if member in modules else node.module for member in members}
    return names & modules


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in FILES["workbench"]}
CORE_MODULES = {module_name(path) for path in FILES["core"]}


def faults(folder: str, wrong: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """Return what is wrong with the files of a folder by their names; one test for all of them, since each costs more than its look."""
    found = {module_name(path): wrong(path) for path in FILES[folder]}
    assert found
    return {name: what for name, what in found.items() if what}


def test_core_never_knows_it_is_being_watched() -> None:
    assert not faults("core", lambda path: packages(imported(path)) & FORBIDDEN_IN_CORE)


def test_pages_never_do_work() -> None:
    assert not faults("pages", lambda path: packages(imported(path)) - ALLOWED_IN_PAGES - set(sys.stdlib_module_names))


def test_workbench_imports_no_page() -> None:
    assert not faults("workbench", lambda path: packages(imported(path)) & {"pages"})


def floor(module: str, floors: tuple[tuple[str, ...], ...]) -> int:
    """The floor of a module by the second part of its name."""
    return next(number for number, names in enumerate(floors) if module.split(".")[1] in names)


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The modules that reach each other, in groups of two and more; `arrows` maps a module to those that it imports."""
    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            new = arrows[ahead.pop()] - found
            found |= new
            ahead.extend(new)
        return found

    reach = {module: reached(module) for module in arrows}
    groups = {frozenset({module} | {other for other in reach[module] if module in reach[other]})
              for module in arrows if module in reach[module]}
    return sorted(sorted(group) for group in groups)


def not_below(path: Path, modules: set[str], floors: tuple[tuple[str, ...], ...]) -> set[str]:
    """Modules that a file imports from its own floor or a higher one, those of its own package aside."""
    own = module_name(path)
    if "." not in own:
        return own_modules(path, modules)
    others = {name for name in own_modules(path, modules) if name != "core" and name.split(".")[1] != own.split(".")[1]}
    return {name for name in others if floor(name, floors) >= floor(own, floors)}


def test_imports_inside_the_engine_go_down() -> None:
    assert not faults("core", lambda path: not_below(path, CORE_MODULES, CORE_FLOORS))


@pytest.mark.parametrize("folder", ["core", "workbench"])
def test_no_circle_of_files(folder: str) -> None:
    modules = {module_name(path) for path in FILES[folder]}
    assert not circles({module_name(path): own_modules(path, modules) - {module_name(path)} for path in FILES[folder]})


def test_every_module_of_the_engine_lies_in_a_package_or_on_the_ground() -> None:
    loose = {path.stem for path in (ROOT / "core").glob("*.py")} - {"__init__"}
    assert loose == {"errors", "events", "loss_terms", "metrics", "recipe_keys", "recorder", "recipes"}


def test_imports_inside_the_workbench_go_down() -> None:
    assert not faults("workbench", lambda path: not_below(path, MODULES, FLOORS))


def test_shared_pieces_know_no_single_page() -> None:
    shared = ROOT / "workbench" / "screens" / "shared"

    def single_pages(path: Path) -> set[str]:
        known = own_modules(path, MODULES) if path.parent == shared else set()
        return {name for name in known if name.startswith("workbench.screens") and not name.startswith("workbench.screens.shared")}

    assert not faults("workbench", single_pages)


def test_charts_take_tables_and_nothing_else() -> None:
    own = {name for name in imported(ROOT / "workbench" / "screens" / "shared" / "charts.py") if name.startswith(("workbench", "core"))}
    assert own <= {"workbench.screens.shared.theme", "core.loss_terms", "core.metrics", "core.recorder"}


def test_models_are_made_and_read_in_one_place() -> None:
    def makes_models(path: Path) -> bool:
        tree = list(ast.walk(parsed(path)))
        owners = {ast.unparse(node.value) for node in tree if isinstance(node, ast.Attribute)
                  and node.attr in ("from_pretrained", "from_config")}
        return bool(owners - {"AutoTokenizer", "AutoConfig", "Dimensions", "GenerationConfig"})

    assert [module_name(path) for path in FILES["core"] + FILES["workbench"] if makes_models(path)] == ["core.models.loading"]


def test_nothing_imports_the_server_module() -> None:
    # `streamlit run` loads it under another name: importing it as well would make a second server.
    importers = [module_name(path) for path in FILES["workbench"] + FILES["pages"] if "workbench.app" in imported(path)]
    assert importers == ["workbench.serve"]


def web_modules() -> list[str]:
    modules = {module_name(path) for path in FILES["workbench"]} - OTHER_PROCESSES - {"workbench.ui"}
    return sorted(modules | set(LIGHT_CORE))


def test_the_web_process_never_loads_torch(tmp_path: Path) -> None:
    program = ("import importlib, sys\n"
               f"for name in {web_modules()!r}:\n"
               "    importlib.import_module(name)\n"
               f"    loaded = sorted({set(HEAVY)!r} & set(sys.modules))\n"
               "    if loaded: sys.exit(f'{name} loads ' + ', '.join(loaded))\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={"PATH": "", "PYTHONPATH": str(ROOT), "STILLHOUSE_HOME": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_pages_load_nothing_heavy_at_their_top() -> None:
    assert not faults("pages", lambda path: packages(imported(path, module_level=True)) & set(HEAVY))

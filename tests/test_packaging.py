"""The wheel: what it holds, and that it runs from another folder, where nothing but its dependencies is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from core import __version__
from core.system.paths import PROJECT
from tests.app_process import running_app

PACKAGES = {"core": "core", "workbench": "workbench", "pages": "stillhouse/pages", "assets": "stillhouse/assets"}  # folder -> in the wheel
NOT_SHIPPED = ("assets/screenshots/",)  # pictures of README.md
BUILT_FROM = ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE")
DRAW = """
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest

app = AppTest.from_file(sys.argv[1], default_timeout=60).run()
pages = [Path(sys.argv[2]) / f"{name}.py" for name in sys.argv[3:]]
print(json.dumps({page.stem: [fault.message for fault in app.switch_page(str(page)).run().exception] for page in pages}))
"""
SEAT_ALONE = {"ask", "lesson", "mine", "vote"}  # pages that participants of a class have, and nobody else
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")


def project_files() -> dict[str, Path]:
    """Name in the wheel -> file, for every file of the packages."""
    found = {}
    for folder, place in PACKAGES.items():
        for path in (PROJECT / folder).rglob("*"):
            name = path.relative_to(PROJECT).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and not name.startswith(NOT_SHIPPED):
                found[f"{place}/{path.relative_to(PROJECT / folder).as_posix()}"] = path
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel; built from a copy, because setuptools writes into the folder that it builds from."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for folder in PACKAGES:
        shutil.copytree(PROJECT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(PROJECT / name, source / name)
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, source], check=True)
    path, = wheels.iterdir()
    return path


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed to, a git repository that is not this project's, as the folder around it."""
    repository = tmp_path_factory.mktemp("installed")
    target = repository / "site-packages"
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel], check=True)
    for folder in (repository, target):
        git = ("git", "-C", folder, "-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Somebody's own"], check=True)
    return target


@pytest.fixture
def installed(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installed wheel on the path of every process that is started; the current folder is an empty one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("PYTHONPATH", str(target))
    return target


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {info.filename: info.file_size for info in archive.infolist() if ".dist-info/" not in info.filename}
    assert held == {name: path.stat().st_size for name, path in project_files().items()}
    assert {"stillhouse/assets/models/house-chat/model.safetensors", "stillhouse/assets/recipes/quickstart.yaml",
            "stillhouse/assets/logo.svg", "stillhouse/assets/lessons/any-size.md", "stillhouse/pages/home.py",
            "workbench/.streamlit/config.toml", "workbench/on_device/pane.html", "workbench/screens/shared/pages.css"} <= held.keys()


def test_the_wheel_requires_what_requirements_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"stillhouse-{__version__}.dist-info/METADATA").decode()
    required = {line.removeprefix("Requires-Dist: ") for line in metadata.splitlines()
                if line.startswith("Requires-Dist: ") and "; extra ==" not in line}
    pinned = {line for line in (PROJECT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")}
    assert required == pinned
    assert f"\nVersion: {__version__}\n" in metadata


def test_an_installed_wheel_runs_from_another_folder(installed: Path) -> None:
    report = ("import core, workbench; from core.system import provenance, paths;"
              "print(core.__file__, workbench.__file__, paths.PROJECT, provenance.git_commit(), sep='\\n')")
    assert output(sys.executable, "-c", report).splitlines() == [
        str(installed / "core" / "__init__.py"), str(installed / "workbench" / "__init__.py"), str(installed / "stillhouse"), "None"]
    listed = output(sys.executable, "-m", "workbench", "models", "--json")
    paths = {model["name"]: model["path"] for model in json.loads(listed) if model["present"]}
    assert paths["house-encoder"] == str(installed / "stillhouse" / "assets" / "models" / "house-encoder")


def test_the_console_script_plans_a_recipe_that_ships(installed: Path) -> None:
    script = installed / "bin" / "stillhouse"
    assert output(script, "--version").split()[-1] == __version__
    plan = json.loads(output(script, "plan", "assets/recipes/quickstart.yaml", "--json"))
    assert "house-chat: 8 blocks, 4,328,640 parameters." in [check["message"] for check in plan["checks"] if check["ok"]]


def test_the_installed_app_answers(installed: Path, tmp_path: Path) -> None:
    with running_app(tmp_path, command=[str(installed / "bin" / "stillhouse")], cwd=Path.cwd()) as app:
        assert urllib.request.urlopen(f"{app.url}/_stcore/health").read() == b"ok"


def test_the_installed_pages_are_drawn(installed: Path) -> None:
    names = sorted({path.stem for path in (PROJECT / "pages").glob("*.py")} - SEAT_ALONE)
    printed = output(sys.executable, "-c", DRAW, installed / "workbench" / "ui.py", installed / "stillhouse" / "pages", *names)
    drawn = json.loads(printed.splitlines()[-1])  # Streamlit prints the traceback of a page that fails before it
    assert drawn == {name: [] for name in names}


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"] and project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "core.__version__"}
    assert f"## [{__version__}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")

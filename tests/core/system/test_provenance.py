"""Releases of the libraries and the commit of the code, in repositories made for it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from core import __version__
from core.system import provenance
from core.system.provenance import LIBRARIES, git_commit, versions


def test_releases_are_those_that_are_installed() -> None:
    found = versions()
    assert (found["stillhouse"], found["python"]) == (__version__, platform.python_version())
    for library in LIBRARIES:
        assert found[library] == importlib.metadata.version(library)


def test_a_library_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "LIBRARIES", ("no-library-of-this-name", "numpy"))
    assert versions().keys() == {"stillhouse", "python", "numpy"}


def test_nothing_heavy_is_imported() -> None:
    program = ("import sys; from core.system.provenance import versions; versions(); "
               "print(*{'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules))")
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split() == []


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one commit, which is taken for that of this code."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "file").write_text("1")
    commit(folder)
    monkeypatch.setattr(provenance, "SOURCE", folder)
    monkeypatch.setattr(provenance, "PROJECT", folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True,
                          capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "One")


def test_the_commit_is_the_checked_out_one_and_changes_show(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v1")
    assert git_commit() == head, "a tag is no commit"
    (repository / "file").write_text("2")
    assert git_commit() == f"{head}+changes"


def test_a_repository_around_the_code_is_not_its_own(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = repository / "inner"
    inner.mkdir()
    monkeypatch.setattr(provenance, "SOURCE", inner)
    monkeypatch.setattr(provenance, "PROJECT", inner)
    assert git_commit() is None


def test_an_installed_package_has_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PROJECT", repository / "site-packages")
    assert git_commit() is None


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert git_commit() is None

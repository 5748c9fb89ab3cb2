"""axe-core, which finds what accessibility rules a page breaks: an npm package for tests alone, pinned, fetched once, and checked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from core.errors import NetworkError
from core.export import browser_runtime
from core.export.browser_runtime import NpmPackage

AXE = NpmPackage(
    name="axe-core", version="4.14.1", size_bytes=708_405, kept_bytes=669_701, licence="mpl-2.0",
    integrity="sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    files=(("package/axe.min.js", "axe.min.js"), ("package/LICENSE", "LICENSE")))
SEVERE = ("serious", "critical")


def fetched(kept: Path) -> Path:
    """Return the script, from the folder `kept` where it was fetched before; skips the test where it is not there and cannot be."""
    if kept.is_dir() and not AXE.folder.is_dir():
        shutil.copytree(kept, AXE.folder)
    try:
        folder, = browser_runtime.fetch((AXE,))
    except NetworkError as error:
        pytest.skip(f"axe-core is not here: {error}")
    return folder / "axe.min.js"


def findings(page: Page, script: Path) -> list[str]:
    """Return what is seriously wrong with a page, a line for each rule and element."""
    page.evaluate(script.read_text(encoding="utf-8"))
    report: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{rule['id']} ({rule['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
            for rule in report["violations"] if rule["impact"] in SEVERE for node in rule["nodes"]]

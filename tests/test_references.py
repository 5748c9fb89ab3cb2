"""docs/references.md names every paper that the engine cites, and modules that exist."""

from __future__ import annotations

import re

import pytest

from core.system.paths import PROJECT

PAGE = (PROJECT / "docs" / "references.md").read_text(encoding="utf-8")
ARXIV = re.compile(r"(?<![\d.])\d{4}\.\d{5}(?!\d)")
PLACEHOLDERS = {"0000.00000"}


@pytest.mark.parametrize("identifier", sorted({found for path in (PROJECT / "core").rglob("*.py")
                                               for found in ARXIV.findall(path.read_text(encoding="utf-8"))} - PLACEHOLDERS))
def test_every_paper_that_the_engine_cites_is_listed(identifier: str) -> None:
    assert identifier in PAGE


@pytest.mark.parametrize("module", sorted(set(re.findall(r"`(core/[\w/]+\.py)`", PAGE))))
def test_every_module_that_is_named_exists(module: str) -> None:
    assert (PROJECT / module).is_file()


@pytest.mark.parametrize("path", ["README.md", "assets/lessons/any-size.md", "core/chains/interpolation.py", "core/methods/chain.py",
                                  "core/reports/citations.py", "workbench/screens/chain/size_view.py"])
def test_substitution_is_credited_to_boomerang_distillation(path: str) -> None:
    assert "2510.05064" in (PROJECT / path).read_text(encoding="utf-8")

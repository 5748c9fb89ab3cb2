"""Sizes and alpha on the command line, and models of any size created there."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.chains.folder import open_chain
from core.errors import ConfigError
from core.models import catalog
from workbench.terminal import cli
from workbench.terminal.chains import alpha, chain_document, chain_text, is_chain, parameters


@pytest.mark.parametrize(("text", "count"), [
    ("4200000", 4_200_000), ("4.2M", 4_200_000), ("4.2m", 4_200_000), ("1.1B", 1_100_000_000), ("1g", 1_000_000_000), ("12k", 12_000),
    ("1,234", 1234), ("1_000", 1000)])
def test_counts_as_people_write_them(text: str, count: int) -> None:
    assert parameters(text) == count


@pytest.mark.parametrize("text", ["", "M", "many", "-3M", "0", "0.2", "inf", "nan", "1e999"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--params"):
        parameters(text)


@pytest.mark.parametrize(("text", "value"), [("auto", None), ("0", 0.0), ("1", 1.0), ("0.25", 0.25)])
def test_alpha(text: str, value: float | None) -> None:
    assert alpha(text) == value


@pytest.mark.parametrize("text", ["", "-0.1", "1.01", "half", "nan"])
def test_what_is_no_alpha_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--alpha"):
        alpha(text)


def test_a_folder_with_a_chain_in_it_is_one(tiny_chain: Path, tmp_path: Path) -> None:
    assert is_chain(str(tiny_chain)) and not is_chain(str(tmp_path)) and not is_chain("no-such-chain")


def test_a_chain_is_shown_with_its_anchors_and_its_range(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    document = chain_document(chain)
    assert [anchor["layers"] for anchor in document["anchors"]] == [4, 2, 1] and len(document["curve"]) == len(chain.curve)
    lines = chain_text(chain).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == [f"{chain.reference}:{number}" for number in range(3)]
    assert "Any size from" in lines[-1]


def test_a_size_is_created_and_its_losses_are_shown(tiny_chain: Path, tmp_path: Path, run_json) -> None:
    out = tmp_path / "created"
    code, document = run_json("interpolate", str(tiny_chain), "--layers", "3", "--alpha", "0.5", "--out", str(out))
    assert (code, document["method"], document["alpha"], document["layers"]) == (0, "interpolation", 0.5, 3)
    assert catalog.describe(str(out)).parameters == document["parameters"]
    assert [anchor["number"] for anchor in document["bracket"]] == [0, 1]
    assert document["baselines"]["larger_anchor"] == document["bracket"][0]["validation_loss"]
    assert "this" not in document["baselines"] and document["validation_loss"] > 0


@pytest.mark.parametrize(("options", "says"), [
    ([], "No size"), (["--layers", "3", "--params", "3M"], "Two sizes"),
    (["--layers", "3", "--method", "substitution", "--alpha", "0.5"], "alpha belongs"), (["--layers", "30"], "reaches from")])
def test_mistakes_create_nothing(tiny_chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str],
                                 says: str) -> None:
    assert cli.main(["interpolate", str(tiny_chain), *options, "--out", str(tmp_path / "created")]) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "created").exists()

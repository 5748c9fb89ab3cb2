"""A blank filled by an exported model in a real browser, from the page that exports it to the bars.

What runs there comes from the npm registry: where it cannot be reached the test is skipped, unless the packages are in the
user's own home already.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, FrameLocator, Page, expect
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.errors import NetworkError
from core.export import browser_runtime
from core.export.sessions import OnnxModel
from core.system import paths
from tests.app_process import AppProcess, running_app
from tests.core.export.encoders import save_encoder
from tests.e2e.conftest import settled

SENTENCE = "The Film was ABSOLUTELY [MASK], naïve and un[MASK]."
PANE = "iframe[title='Fill-mask']"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, user_home: Path) -> Iterator[AppProcess]:
    """The app with what runs in browsers in its home."""
    folder = tmp_path_factory.mktemp("device")
    with pytest.MonkeyPatch.context() as patch:
        kept = user_home / browser_runtime.runtime_dir().relative_to(paths.home())  # fetched before, by hand
        patch.setenv("STILLHOUSE_HOME", str(folder / "home"))
        if all((kept / package.folder.name).is_dir() for package in browser_runtime.PACKAGES):
            shutil.copytree(kept, browser_runtime.runtime_dir())
        else:
            try:
                browser_runtime.fetch()
            except NetworkError as error:
                pytest.skip(f"the npm packages are not here: {error}")
    with running_app(folder, home=folder / "home") as running:
        yield running


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two tiny encoders, as teacher and student."""
    folder = tmp_path_factory.mktemp("models")
    return [save_encoder(folder / "teacher", "bert", layers=3), save_encoder(folder / "student", "distilbert", layers=1)]


def shown(pane: FrameLocator, card: int, blank: int) -> list[tuple[str, float]]:
    """The fills of a blank with their shares in percent."""
    lines = pane.locator("section").nth(card).locator("ol").nth(blank).locator("li")
    expect(lines).to_have_count(10)
    words, shares = (lines.locator(part).all_text_contents() for part in ("span:first-child", ".share"))
    return [(word.strip(), float(share.removesuffix("%"))) for word, share in zip(words, shares, strict=True)]


def expected(export: Path, blank: int) -> list[tuple[str, float]]:
    """The same from onnxruntime in Python."""
    tokenizer, model = AutoTokenizer.from_pretrained(export), OnnxModel(export / "model.int8.onnx")
    encoded = tokenizer(SENTENCE, return_tensors="np")
    ids, mask = encoded["input_ids"].astype(np.int64), encoded["attention_mask"].astype(np.int64)
    place = np.flatnonzero(ids[0] == tokenizer.mask_token_id)[blank]
    logits = model(ids, mask)[0, place]
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    return [(tokenizer.decode([token]), 100 * float(shares[token])) for token in np.argsort(-logits)[:10]]


def test_a_blank_is_filled_in_the_browser(app: AppProcess, page: Page, models: list[Path]) -> None:
    requested: set[str] = set()
    page.on("request", lambda request: requested.add(request.url))
    page.goto(f"{app.url}/device?models={models[0]},{models[1]}")
    settled(page)
    page.get_by_role("button", name="Export", exact=True).click()
    pane = page.frame_locator(PANE)
    expect(pane.locator("section")).to_have_count(2)
    expect(page.get_by_role("table", name="Sizes, times and agreement").locator("tbody tr")).to_have_count(6)

    pane.get_by_label("A sentence with a blank").fill(SENTENCE)
    pane.get_by_role("button", name="Predict masked tokens").click()
    expect(pane.locator("section").first).to_contain_text(re.compile(r"ms for \d+ tokens, median of \d"))
    expect(pane.locator("h3")).to_have_text(["Blank 1", "Blank 2"] * 2)  # of both models, not what stood there before
    exports = sorted((app.home / "exports").iterdir(), key=lambda folder: "teacher" not in folder.name)
    for card, folder in enumerate(exports):
        for blank in (0, 1):
            found, wanted = shown(pane, card, blank), expected(folder, blank)
            # Kernels of the browser and of this machine round int8 sums alike, and float sums nearly so.
            assert [share for _, share in found] == pytest.approx([share for _, share in wanted], abs=0.06)  # shown to one decimal
            assert found[0][0] == wanted[0][0]
    assert all(url.startswith((app.url, "data:", "blob:")) for url in requested), "nothing comes from elsewhere"
    assert any(url.endswith(".wasm") for url in requested)


def test_a_sentence_without_a_blank_is_reported(app: AppProcess, page: Page, models: list[Path]) -> None:
    page.goto(f"{app.url}/device?models={models[1]}")
    settled(page)
    pane = page.frame_locator(PANE)
    sentence = pane.get_by_label("A sentence with a blank")
    expect(pane.locator("li").first).to_be_visible()
    sentence.fill("No word is missing here.")
    expect(pane.get_by_role("status")).to_contain_text("There is no blank in the sentence. Put [MASK] or ___")
    sentence.fill("A very " + "long " * 80 + "___ sentence.")
    expect(pane.get_by_role("status")).to_contain_text("reads at most 64")
    sentence.fill("A ___ film.")
    expect(pane.get_by_role("status")).to_be_empty()
    expect(pane.locator("li")).to_have_count(10)


def test_a_classifier_runs_in_the_browser_and_its_zip_loads_elsewhere(app: AppProcess, page: Page, tmp_path: Path) -> None:
    model = save_encoder(tmp_path / "judge", "distilbert", "classification", layers=1)
    page.goto(f"{app.url}/device?models={model}")
    settled(page)
    page.get_by_role("button", name="Export", exact=True).click()
    pane = page.frame_locator("iframe[title='Classify']")
    lines = pane.locator("section ol[aria-label=Classes] li")
    expect(lines).to_have_count(2)
    pane.get_by_label("A text").fill("A very fine film.")
    pane.get_by_role("button", name="Classify").click()
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokens = len(tokenizer("A very fine film.")["input_ids"])
    expect(pane.locator("section .time")).to_contain_text(f"for {tokens} tokens")
    export, = (folder for folder in (app.home / "exports").iterdir() if folder.name.startswith("judge"))
    encoded = tokenizer("A very fine film.", return_tensors="np")
    logits = OnnxModel(export / "model.int8.onnx")(encoded["input_ids"].astype(np.int64), encoded["attention_mask"].astype(np.int64))[0]
    shares = 100 * np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    found = [float(share.removesuffix("%")) for share in lines.locator(".share").all_text_contents()]
    assert found == pytest.approx(sorted(shares, reverse=True), abs=0.06)
    page.get_by_text("Take", exact=False).filter(has_text="along").first.click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile(r"Download \(zip")).click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "elsewhere")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "elsewhere" / "judge")
    assert loaded.num_parameters() == AutoModelForSequenceClassification.from_pretrained(model).num_parameters()


def test_a_model_that_cannot_be_loaded_does_not_hold_up_the_others(app: AppProcess, page: Page) -> None:
    """Follows the export of the first test."""
    name = next(folder.name for folder in (app.home / "exports").iterdir() if "student" in folder.name)
    page.goto(f"{app.url}/on-device/pane.html?models=gone-1,{name}")
    expect(page.locator("section").first).to_contain_text(re.compile(r"exports/gone-1/\w+\.json could not be loaded \(404\)"))
    expect(page.locator("li")).to_have_count(10)
    page.get_by_label("A sentence with a blank").fill("A ___ film and a ___ plot.")
    expect(page.locator("li")).to_have_count(20)
    expect(page.get_by_role("status")).to_be_empty()


def test_the_pane_is_behind_the_password(tmp_path: Path, browser: BrowserContext) -> None:
    with running_app(tmp_path, STILLHOUSE_PASSWORD="copper kettle") as guarded:
        for name in ("pane.html", "worker.js", "runtime.json", "exports/a/export.json"):
            assert browser.request.get(f"{guarded.url}/on-device/{name}", headers={"accept": "*/*"}, max_redirects=0).status == 401

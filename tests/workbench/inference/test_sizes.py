"""Sizes from the engine process: made at once, measured afterwards, refused in the engine's own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.chains.on_demand import loss_of
from core.errors import ConfigError
from core.models import catalog
from workbench.inference.client import Engine
from workbench.store import chains


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(lambda reference: reference)
    yield engine
    engine.close()


def test_a_size_is_made_measured_and_refused_when_it_is_there(engine: Engine, tiny_chain: Path) -> None:
    place = chains.ChainPlace("pocket-chain", tiny_chain)
    chain = place.open()
    target = next(point.target for point in chain.curve if point.target.larger_anchor == 0)
    folder = place.generated_dir / chains.created_name(place, target, "substitution", None)
    record = engine.make_size(chain, target, folder)
    assert (record["chain"], record["method"], record["losses"]) == ("pocket-chain", "substitution", {})
    entry = catalog.describe(str(folder))
    assert (entry.layers, entry.parameters) == (target.dimensions.layers, target.parameters)
    model, = chains.created(place)
    assert (model.target, model.swapped) == (target, tuple(record["swapped"]))

    losses = engine.measure_size(chain, target, folder)
    assert set(losses) == {"this", "larger_anchor", "smaller_anchor", "alpha_0", "alpha_1", "copied", "random"}
    assert losses["this"] == pytest.approx(loss_of(catalog.load(str(folder)).model.float(), chain), rel=1e-3)
    assert losses["larger_anchor"] == chain.anchors[0].validation_loss

    with pytest.raises(ConfigError, match="is there already"):
        engine.make_size(chain, target, folder)
    with pytest.raises(ConfigError, match=r"alpha is 1\.5"):
        engine.make_size(chain, target, folder.with_name("other"), method="interpolation", alpha=1.5)

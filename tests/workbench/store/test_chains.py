from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from core.chains import folder
from core.chains.folder import Target, open_chain
from core.chains.on_demand import GeneratedModel
from core.errors import CompatibilityError, ModelNotFoundError, RunVerb
from core.models.dimensions import as_record
from core.recipes import parse_recipe
from tests.core.masked_models import masked_model, save
from tests.tiny_chains import chain_recipe
from workbench import paths
from workbench.errors import StoreError
from workbench.processes import Process
from workbench.store import Store, chains, references
from workbench.store.records import Run


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def house(tiny_chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny chain as one that ships with the project."""
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "pocket-chain").symlink_to(tiny_chain)
    monkeypatch.setattr(folder, "HOUSE_MODELS", tmp_path / "shipped")
    return "pocket-chain"


def chain_run(store: Store, tiny_chain: Path, name: str = "walk", *, anchors: int = 3) -> Run:
    """A run that built the tiny chain, or its first `anchors`."""
    run = store.create_run(chain_recipe(tiny_chain.parent, name), device="cpu")
    store.mark_running(run.id, Process.current())
    for number in range(anchors):
        shutil.copytree(tiny_chain / "anchors" / str(number), run.directory / "anchors" / str(number))
    if anchors == 3:
        for file in ("chain.json", "validation.npz"):
            shutil.copy(tiny_chain / file, run.directory)
    store.finish(run.id, "finished" if anchors == 3 else "stopped")
    return store.run(run.id)


def created(place: chains.ChainPlace, target: Target, name: str) -> Path:
    """A model as the engine leaves it, with an anchor's weights."""
    folder = place.generated_dir / name
    shutil.copytree(place.path / "anchors" / "1", folder)
    record = GeneratedModel(place.name, target, "substitution", None, (0,), {}, 0.1)
    (folder / chains.RECORD).write_text(json.dumps({"made_from": as_record(record)}))
    return folder


def between(place: chains.ChainPlace) -> Target:
    """A measured size between the two largest anchors."""
    return next(point.target for point in place.open().curve if point.target.larger_anchor == 0)


def test_chains_are_house_chains_runs_and_folders(store: Store, tiny_chain: Path, house: str):
    run = chain_run(store, tiny_chain)
    store.create_run(parse_recipe({"name": "a"}))
    assert [place.name for place in chains.places(store)] == [house, "walk"]
    for reference, path in ((house, tiny_chain), ("walk", run.directory), (run.id, run.directory), (str(tiny_chain), tiny_chain)):
        place = chains.place(reference, store)
        assert place.path.resolve() == path.resolve()
        assert place.complete
        assert place.open().reference == (run.name if reference == run.id else reference)
    with pytest.raises(ModelNotFoundError, match="'a' builds no chain"):
        chains.place("a", store)
    with pytest.raises(ModelNotFoundError, match=r"no chain 'b'.*pocket-chain, walk"):
        chains.place("b", store)
    store.delete(run.id)
    assert [place.name for place in chains.places(store)] == [house]
    with pytest.raises(ModelNotFoundError, match="in the bin"):
        chains.place("walk", store)


def test_counting_parameters_gives_the_same_when_it_is_remembered(tiny_chain: Path):
    ours, plain = chains.ChainPlace("tiny", tiny_chain).open(), open_chain(str(tiny_chain))
    for anchor in plain.anchors:
        assert ours.target(parameters=anchor.parameters) == plain.target(parameters=anchor.parameters)
    assert ours.sizer(plain.anchors[1].dimensions) == plain.anchors[1].parameters


def test_anchors_are_model_references(store: Store, tiny_chain: Path, house: str):
    run = chain_run(store, tiny_chain)
    assert references.resolve("walk:1", store) == str(run.directory / "anchors" / "1")
    assert references.resolve(f"{house}:2", store).endswith("anchors/2")
    assert references.resolve(f"{tiny_chain}:0", store) == str(tiny_chain / "anchors" / "0")
    entry = references.describe("walk:1", store)
    assert (entry.name, entry.kind, entry.layers, entry.source) == ("walk:1", "run", 2, f"run {run.id}")
    assert references.describe(f"{house}:0", store).source == f"anchor 0 of {house}"
    names = [entry.name for entry in references.entries(store)]
    assert [name for name in names if ":" in name] == [f"{house}:0", f"{house}:1", f"{house}:2", "walk:0", "walk:1", "walk:2"]
    assert references.loader(run, store)(f"{house}:1").entry.name == f"{house}:1"


def test_a_chain_is_not_one_model(store: Store, tiny_chain: Path, house: str):
    chain_run(store, tiny_chain, anchors=2)
    for reference in ("walk", house):
        with pytest.raises(ModelNotFoundError, match=f"as {reference}:0"):
            references.resolve(reference, store)
    with pytest.raises(ModelNotFoundError, match=r"\(stopped\) has no anchor 2.*walk:0, walk:1.*resume it") as caught:
        references.resolve("walk:2", store)
    assert caught.value.suggestion == RunVerb("resume", "walk")
    with pytest.raises(ModelNotFoundError, match="anchors 0 to 2"):
        references.resolve(f"{house}:3", store)
    assert [name for name, _ in chains.anchors(chains.place("walk", store))] == ["walk:0", "walk:1"]


def test_models_of_a_recipe_may_be_anchors(store: Store, tiny_chain: Path, house: str):
    run = chain_run(store, tiny_chain)
    config = parse_recipe({"teacher": {"model": "walk:0"}, "chain": {"mode": "independent", "anchors": [{"model": f"{house}:1"}]}})
    pinned, parents = references.freeze_references(config, store)
    assert parents == {"walk:0": f"{run.id}:0"}
    assert pinned.chain.anchors[0].model == f"{house}:1"
    assert references.resolved(config, store).chain.anchors[0].model.endswith("anchors/1")


def test_created_models_have_readable_names_and_are_references(store: Store, tiny_chain: Path, house: str):
    place = chains.place(house, store)
    target = between(place)
    name = chains.created_name(place, target, "substitution", None)
    assert name == f"{house}-{target.parameters / 1000:.3g}k"
    folder = created(place, target, name)
    assert folder.parent == paths.generated_dir() / house
    assert chains.created_name(place, target, "substitution", None) == name, "the same model again"
    near = Target(target.dimensions, target.parameters + 1, target.larger_anchor)
    assert chains.created_name(place, near, "substitution", None) == f"{house}-{target.parameters + 1}", "another one of that size"
    assert chains.created_name(place, target, "interpolation", 0.25) == f"{name}-alpha0.25"
    assert references.resolve(name, store) == str(folder)
    assert references.entries(store)[-1].name == name
    config, _ = references.freeze_references(parse_recipe({"student": {"model": name}}), store)
    assert config.student.model == str(folder)


def test_what_becomes_known_of_a_created_model_is_kept(store: Store, tiny_chain: Path, house: str):
    place = chains.place(house, store)
    target = between(place)
    folder = created(place, target, "one")
    (model,) = chains.created(place)
    assert (model.target, model.losses, model.requested_size, model.swapped) == (target, {}, target.parameters, (0,))
    chains.update_record(folder, losses={"this": 5.0}, requested_size=14_000)
    (model,) = chains.created(place)
    assert (model.losses, model.requested_size) == ({"this": 5.0}, 14_000)
    chains.update_record(folder, **{"asked": 15_000})
    record = json.loads((folder / chains.RECORD).read_text())
    del record["made_from"]["requested_size"]
    (folder / chains.RECORD).write_text(json.dumps(record))
    assert chains.read_created(folder).requested_size == 15_000, "as release 0.1.0 wrote it"
    assert not chains.outdated(model, place)
    os.utime(folder, (0, 0))
    assert chains.outdated(model, place), "by the files' times, as release 0.1.0 left it"


def test_a_model_is_outdated_when_its_chain_was_built_again_whatever_the_clock_says(store: Store, tiny_chain: Path, tmp_path: Path):
    path = tmp_path / "chain"
    shutil.copytree(tiny_chain, path)
    place = chains.place(str(path), store)
    folder = created(place, between(place), "one")
    record = json.loads((folder / chains.RECORD).read_text())
    record["made_from"]["chain_digest"] = place.open().digest
    (folder / chains.RECORD).write_text(json.dumps(record))
    os.utime(folder, (0, 0))
    (model,) = chains.created(place)
    assert not chains.outdated(model, place)
    built = json.loads((path / chains.FILE).read_text())
    (path / chains.FILE).write_text(json.dumps(built | {"seconds": built.get("seconds", 0) + 1}))
    os.utime(folder)
    assert chains.outdated(model, place)


def test_a_created_model_goes_to_the_bin_and_comes_back(store: Store, house: str):
    place = chains.place(house, store)
    target = between(place)
    folder = created(place, target, "one")
    chains.update_record(folder, losses={"this": 5.0}, recoveries=[{"made": "a"}])
    (model,) = chains.created(place)
    assert model.recoveries == ({"made": "a"},)
    binned = chains.bin_created(model)
    assert chains.created(place) == [] and chains.created_folders() == [] and chains.created_folder("one") is None
    assert chains.binned_created(place) == [binned] and binned.model.name == "one"
    with pytest.raises(ModelNotFoundError, match=r"'one' is in the bin of its chain.*Restore it on the Chain page"):
        references.resolve("one", Store())
    chains.restore_created(binned)
    assert chains.created(place) == [model] and chains.binned_created(place) == []


def test_a_name_that_was_given_again_keeps_the_older_one_in_the_bin(store: Store, tiny_chain: Path, house: str):
    place = chains.place(house, store)
    target = between(place)
    binned = []
    for _ in range(2):
        created(place, target, "one")
        binned.insert(0, chains.bin_created(chains.created(place)[0]))
    assert chains.binned_created(place) == binned
    created(place, target, "one")
    with pytest.raises(StoreError, match="'one' was created again"):
        chains.restore_created(binned[0])
    chains.delete_created(binned[0])
    assert chains.binned_created(place) == binned[1:]
    assert len(chains.created(place)) == 1
    elsewhere = chains.CreatedModel("x", tiny_chain, target, "substitution", None, None, {}, 0)
    for act in (chains.bin_created, lambda model: chains.delete_created(chains.BinnedModel(model, 0.0))):
        with pytest.raises(StoreError, match="not a created model's folder"):
            act(elsewhere)
    assert tiny_chain.is_dir()


def test_folders_of_the_same_name_keep_their_models_apart(tiny_chain: Path):
    places = [chains.ChainPlace(str(path), path) for path in (tiny_chain, Path("/elsewhere") / tiny_chain.name)]
    folders = {place.generated_dir for place in places}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {paths.generated_dir()}


def test_an_encoder_is_refused_as_a_chain(store: Store, tmp_path: Path) -> None:
    encoder = save(masked_model(), tmp_path / "encoder")
    with pytest.raises(CompatibilityError, match=r"predicts masked tokens\. A chain is made of models that predict the next token"):
        chains.place(str(encoder), store)

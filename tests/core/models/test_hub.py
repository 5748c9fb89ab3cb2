import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import errors

from core.errors import (
    CorruptModelError,
    ModelError,
    ModelNotFoundError,
    NetworkError,
    StillhouseError,
    UnsafeModelError,
    UnsupportedModelError,
)
from core.models import catalog, checkpoints, hub
from tests.core.chat_models import save_chat_model

NAME = "somebody/tiny"


class Hub:
    """A folder that plays the hub; counts its downloads."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache, self.downloads, self.error = folder, cache, [], None

    def model_info(self, repository: str, files_metadata: bool) -> Any:
        if self.error:
            raise self.error
        assert files_metadata
        files = [SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in self.folder.iterdir()]
        return SimpleNamespace(siblings=files, card_data=SimpleNamespace(license="mit"))

    def get_safetensors_metadata(self, repository: str) -> Any:
        tensors = {name: SimpleNamespace(shape=list(shape)) for name, shape in checkpoints.parameter_shapes(self.folder).items()}
        return SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors=tensors)})

    def hf_hub_download(self, repository: str, name: str) -> str:
        self.downloads.append(name)
        self.cache.mkdir(exist_ok=True)
        return str(shutil.copy(self.folder / name, self.cache / name))

    def try_to_load_from_cache(self, repository: str, name: str) -> str | None:
        path = self.cache / name
        return str(path) if path.exists() else None


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    stand_in = Hub(save_chat_model(tmp_path / "remote"), tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: stand_in)
    for function in ("hf_hub_download", "try_to_load_from_cache"):
        monkeypatch.setattr(huggingface_hub, function, getattr(stand_in, function))
    return stand_in


def test_a_model_is_described_before_its_weights_are_downloaded(remote: Hub) -> None:
    entry = catalog.describe(NAME)
    assert remote.downloads == ["config.json"]
    assert (entry.kind, entry.present, entry.path, entry.licence, entry.layers) == ("hub", False, None, "mit", 2)
    assert entry.size_bytes > (remote.folder / "model.safetensors").stat().st_size
    assert hub.cached(NAME) is None


def test_a_download_brings_the_model_and_nothing_else(remote: Hub) -> None:
    for name in ("pytorch_model.bin", "modeling_custom.py", "training_args.bin", "model.onnx"):
        (remote.folder / name).write_bytes(b"x")
    progress: list[tuple[int, int]] = []
    entry = catalog.fetch(NAME, lambda done, total: progress.append((done, total)))
    assert entry.present
    assert entry.path == remote.cache
    assert {path.name for path in remote.cache.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert progress[-1][0] == progress[-1][1] == sum(path.stat().st_size for path in remote.cache.iterdir())


def test_a_downloaded_model_needs_no_hub(remote: Hub) -> None:
    expected = catalog.describe(NAME).parameters
    loaded = catalog.load(NAME)
    assert loaded.model.num_parameters() == loaded.entry.parameters == expected
    remote.error = errors.OfflineModeIsEnabled("offline")
    assert catalog.load(NAME).entry == loaded.entry


def test_weights_in_several_files_are_all_downloaded(remote: Hub, tmp_path: Path) -> None:
    loaded = catalog.load(str(remote.folder))
    (remote.folder / "model.safetensors").unlink()
    loaded.model.save_pretrained(remote.folder, max_shard_size="30KB")
    assert len(checkpoints.weight_files(remote.folder)) > 1
    assert catalog.fetch(NAME).parameters == loaded.entry.parameters


def test_a_download_cut_short_is_not_a_model(remote: Hub) -> None:
    catalog.fetch(NAME)
    (remote.cache / "model.safetensors").unlink()
    assert not catalog.describe(NAME).present


def test_a_snapshot_without_a_tokenizer_is_not_a_model(remote: Hub) -> None:
    catalog.fetch(NAME)
    (remote.cache / "tokenizer.json").unlink()
    assert not catalog.describe(NAME).present
    assert catalog.load(NAME).tokenizer("A film").input_ids
    (remote.folder / "tokenizer.json").unlink()
    (remote.cache / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="offers no tokenizer"):
        catalog.load(NAME)


def _response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "http://hub.test"))


@pytest.mark.parametrize(("error", "expected", "message"), [
    (errors.OfflineModeIsEnabled("offline"), NetworkError, "HF_HUB_OFFLINE"),
    (errors.LocalEntryNotFoundError("no connection"), NetworkError, "cannot be reached"),
    (httpx2.ConnectError("no name"), NetworkError, "cannot be reached"),
    (httpx2.ReadTimeout("slow"), NetworkError, "cannot be reached"),
    (errors.HfHubHTTPError("busy", response=_response(503)), NetworkError, "cannot be reached"),
    (errors.RepositoryNotFoundError("404", response=_response(404)), ModelNotFoundError, "no model 'somebody/tiny'"),
    (errors.GatedRepoError("403", response=_response(403)), ModelError, "Accept its terms"),
    (errors.RemoteEntryNotFoundError("404 config.json", response=_response(404)), CorruptModelError, "incomplete on the hub"),
])
def test_what_the_hub_answers_is_explained(error: Exception, expected: type[StillhouseError], message: str, remote: Hub) -> None:
    remote.error = error
    with pytest.raises(expected, match=message) as raised:
        catalog.describe(NAME)
    assert type(raised.value) is expected


def test_a_full_disk_is_not_taken_for_a_missing_network(remote: Hub) -> None:
    remote.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        catalog.describe(NAME)


def test_pickles_on_the_hub_are_refused(remote: Hub) -> None:
    (remote.folder / "model.safetensors").rename(remote.folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match="pickle files only"):
        catalog.load(NAME)
    assert remote.downloads == []


def test_gguf_files_on_the_hub_are_pointed_out(remote: Hub) -> None:
    (remote.folder / "model.safetensors").rename(remote.folder / "tiny.gguf")
    with pytest.raises(ModelError, match="download one and give its path"):
        catalog.describe(NAME)


def test_an_unsupported_architecture_is_known_before_the_download(remote: Hub) -> None:
    path = remote.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "mamba", "auto_map": {"AutoModelForCausalLM": "code.Model"}}))
    with pytest.raises(UnsupportedModelError, match="'mamba'"):
        catalog.load(NAME)
    assert remote.downloads == ["config.json"]


def test_without_a_network_the_real_client_says_so() -> None:
    with pytest.raises(NetworkError, match="not on this machine"):
        catalog.describe("somebody/never-downloaded")

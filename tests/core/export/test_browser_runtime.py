"""Packages for the browser, from a registry on this machine."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import DiskFullError, NetworkError
from core.export import browser_runtime
from core.export.browser_runtime import NpmPackage

PROGRAM = b"export const answer = 42;\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a registry that npm's own settings name."""
    folder = tmp_path / "registry"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def package(registry: Path) -> NpmPackage:
    """A package with one file that is wanted and one that is not."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as members:
        for name, content in (("package/dist/tiny.min.mjs", PROGRAM), ("package/package.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    content = archive.getvalue()
    place = registry / "@scope" / "tiny" / "-"
    place.mkdir(parents=True)
    (place / "tiny-1.2.3.tgz").write_bytes(content)
    return NpmPackage("@scope/tiny", "1.2.3", f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}", len(content),
                      len(PROGRAM), (("package/dist/tiny.min.mjs", "tiny.mjs"),), "mit")


def test_what_is_wanted_is_kept(package: NpmPackage, registry: Path, home: Path) -> None:
    reported: list[tuple[int, int]] = []
    assert not package.present
    (folder,) = browser_runtime.fetch((package,), lambda done, total: reported.append((done, total)))
    assert package.present
    assert folder == home / "browser" / "tiny-1.2.3"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"tiny.mjs": PROGRAM}
    assert reported[-1] == (package.size_bytes, package.size_bytes)
    (registry / "@scope" / "tiny" / "-" / "tiny-1.2.3.tgz").unlink()
    assert browser_runtime.fetch((package,)) == [folder], "downloaded once"


def test_nothing_else_is_used(package: NpmPackage, home: Path) -> None:
    with pytest.raises(NetworkError, match=r"sha512-AAAA was expected"):
        browser_runtime.fetch((replace(package, integrity="sha512-AAAA"),))
    assert list((home / "browser").iterdir()) == []


def test_an_endless_download_is_cut_off(package: NpmPackage, registry: Path, home: Path) -> None:
    with (registry / "@scope" / "tiny" / "-" / "tiny-1.2.3.tgz").open("ab") as file:
        file.write(bytes(10 * browser_runtime.CHUNK))
    reported: list[int] = []
    with pytest.raises(NetworkError, match=rf"does not end where it should\. {package.size_bytes:,} bytes were expected"):
        browser_runtime.fetch((package,), lambda done, total: reported.append(done))
    assert reported == [], "nothing of the first chunk was kept, and no further one read"
    assert list((home / "browser").iterdir()) == []


def test_a_release_that_is_not_there(package: NpmPackage, home: Path) -> None:
    with pytest.raises(NetworkError, match=r"@scope/tiny 9\.9\.9 could not be downloaded: HTTP 404"):
        browser_runtime.fetch((replace(package, version="9.9.9"),))
    assert list((home / "browser").iterdir()) == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "no address at all"])
def test_no_network(package: NpmPackage, home: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("npm_config_registry", address)
    with pytest.raises(NetworkError, match=r"could not be downloaded.*npm_config_registry"):
        browser_runtime.fetch((package,))
    assert list((home / "browser").iterdir()) == []


def test_too_little_room(package: NpmPackage) -> None:
    with pytest.raises(DiskFullError):
        browser_runtime.fetch((replace(package, size_bytes=2**60),))


def test_the_registry_is_npms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "npmrc"
    monkeypatch.setenv("npm_config_userconfig", str(settings))
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    assert browser_runtime.registry("plain") == browser_runtime.DEFAULT_REGISTRY
    settings.write_text("; a comment\nregistry = https://mirror.example/npm\n@scope:registry=https://scope.example/\n")
    assert browser_runtime.registry("plain") == "https://mirror.example/npm/"
    assert browser_runtime.registry("@scope/tiny") == "https://scope.example/"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://environment.example")
    assert browser_runtime.registry("plain") == "https://environment.example/"
    assert browser_runtime.registry("@scope/tiny") == "https://scope.example/"


def test_the_pinned_packages_are_complete() -> None:
    for package in browser_runtime.PACKAGES:
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
        assert package.size_bytes > 0
        assert package.files

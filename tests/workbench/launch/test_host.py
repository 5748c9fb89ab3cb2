"""Commands on another machine, and files to and from it: names with signs of the shell, and what each failure says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workbench.launch.fake_host import FakeHost, fake_host
from workbench.errors import HostError, LaunchError
from workbench.launch.host import NAME, Host

FAR = Host("far")
AWKWARD = "a 'quoted' \"name\" $HOME; *"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return fake_host(tmp_path, monkeypatch, "0")


@pytest.mark.parametrize("name", ["cluster", "me@login.example.org", "a_b-c.d"])
def test_names_of_hosts(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "me@-x", "a b", "a:b", "", "a\n", "ssh://a", "$(id)", "a'"])
def test_what_is_no_name_of_a_host(name: str) -> None:
    assert not NAME.fullmatch(name)


def test_a_command_keeps_its_words_and_profiles_may_print(fake: FakeHost) -> None:
    done = FAR.run("sh", "-c", 'printf "%s|" "$@"; exit 3', "sh", AWKWARD, "--x", "")
    assert (done.code, done.out) == (3, f"{AWKWARD}|--x||")
    assert fake.calls() == ["far bash -l -s"], "no word of the command is seen by the account's shell"


def test_files_with_awkward_names_go_there_and_come_back(fake: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSYNC_OLD_ARGS", "1")  # as releases before 3.2.4 pass names on
    source, back, there = tmp_path / AWKWARD, tmp_path / f"back {AWKWARD}", tmp_path / f"there {AWKWARD}"
    source.mkdir()
    (source / AWKWARD).write_bytes(bytes(300_000))
    (source / "link").symlink_to(source / AWKWARD)
    there.mkdir()
    shares: list[int] = []
    FAR.copy(FAR.push_command(str(source), str(there)), shares.append)
    assert (there / AWKWARD / "link").read_bytes() == bytes(300_000) and not (there / AWKWARD / "link").is_symlink()
    assert shares[-1] == 100 and shares == sorted(set(shares))
    back.mkdir()
    FAR.copy(FAR.pull_command(f"{there}/{AWKWARD}", back))
    assert sorted(path.name for path in back.iterdir()) == sorted((AWKWARD, "link"))
    assert FAR.differences(f"{there}/{AWKWARD}", back) == []


def test_a_file_that_differs_is_found_by_its_checksum_though_size_and_time_are_the_same(fake: FakeHost, tmp_path: Path) -> None:
    for name, content in (("here", b"abc"), ("there", b"xyz")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(content)
    (tmp_path / "there" / "new").touch()
    assert FAR.differences(str(tmp_path / "there"), tmp_path / "here") == ["new", "weights"]
    assert (tmp_path / "here" / "weights").read_bytes() == b"abc", "nothing is copied"


def test_a_copy_ends_when_its_watcher_raises(fake: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1_000_000))

    def stop(percent: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FAR.copy(FAR.push_command(str(tmp_path / "large"), str(tmp_path)), stop)


@pytest.mark.parametrize(("said", "expected", "fix"), [
    ("ssh: Could not resolve hostname far: Name or service not known", "A name that ssh knows", "`ssh far` works"),
    ("Host key verification failed.", "whose key ssh knows", "ssh far"),
    ("me@far: Permission denied (publickey,password).", "without a prompt", "ssh-copy-id far"),
    ("ssh: connect to host far port 22: Connection refused", "", "`ssh far` works")])
def test_ssh_that_does_not_get_through(said: str, expected: str, fix: str, fake: FakeHost, tmp_path: Path) -> None:
    (fake.here / "refusal").write_text(f"{said}\n")
    for call in (lambda: FAR.run("true"), lambda: FAR.copy(FAR.pull_command("/x", tmp_path))):
        with pytest.raises(HostError) as error:
            call()
        assert said.rstrip(".") in error.value.given and expected in error.value.expected and fix in error.value.fix


@pytest.mark.parametrize("program", ["ssh", "rsync"])
def test_programs_that_are_not_here(program: str, fake: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake.here / "bin" / "rsync").symlink_to(fake.here / "programs" / "rsync")
    monkeypatch.setenv("PATH", str(fake.here / "bin"))
    (fake.here / "bin" / program).unlink()
    with pytest.raises(LaunchError, match=f"'{program}' is not here"):
        FAR.copy(FAR.push_command(str(tmp_path), "/x"))


def test_rsync_that_is_not_there(fake: FakeHost, tmp_path: Path) -> None:
    fake.program("rsync", "")
    with pytest.raises(LaunchError, match="There is no rsync on 'far'"):
        FAR.copy(FAR.push_command(f"{tmp_path}/", "/x"))


def test_a_folder_that_is_not_there(fake: FakeHost, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="could not be copied from 'far'") as error:
        FAR.copy(FAR.pull_command(str(tmp_path / "none"), tmp_path))
    assert not isinstance(error.value, HostError) and "No such file" in error.value.given


@pytest.mark.parametrize(("code", "said", "pushed", "given"), [
    (11, 'rsync: [receiver] write failed on "/x/a": No space left on device (28)\nrsync error: error in file IO (code 11)', True,
     "The disk of 'far' is full"),
    (11, 'rsync: [receiver] write failed on "/x/a": No space left on device (28)', False, "The disk of this machine is full"),
    (12, 'rsync: [Receiver] mkdir "/root/x" failed: Permission denied (13)\nrsync error: error in rsync protocol data stream (code 12)',
     True, "Files could not be copied to 'far' (rsync: [Receiver] mkdir"),
    (12, "rsync: connection unexpectedly closed (0 bytes received so far) [sender]", True, "There is no connection to 'far'"),
    (10, "rsync: [sender] write error: Broken pipe (32)", True, "There is no connection to 'far'"),
    (1, "rsync: --secluded-args: unknown option", True, "rsync does not understand")])
def test_what_rsync_says(code: int, said: str, pushed: bool, given: str, fake: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "said").write_text(said)
    program = fake.here / "bin" / "rsync"
    program.write_text(f"#!/bin/sh\ncat '{tmp_path}/said' >&2\nexit {code}\n")
    program.chmod(0o755)
    with pytest.raises(LaunchError) as error:
        FAR.copy(FAR.push_command("/x", "/x") if pushed else FAR.pull_command("/x", tmp_path))
    assert given in error.value.given
    assert isinstance(error.value, HostError) == ("no connection" in given)


def test_an_account_that_runs_no_commands(fake: FakeHost) -> None:
    fake.program("bash", "#!/bin/sh\necho This account is not available.\n")
    with pytest.raises(LaunchError, match=r"'far' runs no commands \(This account is not available"):
        FAR.run("true")

"""Another machine as ssh knows it: commands there, and files to and from it by rsync.

How the host is reached (name, user, port, key, jump, an open master connection) is a matter of ssh and its configuration; nothing here
keeps or reads a key, and nothing ever prompts. Commands are read from standard input by bash there, whatever the account's own shell is;
paths of rsync are not seen by any shell (``--secluded-args``).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import HostError, LaunchError

NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*")  # never an option, never two words
SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3",
       "-o", "LogLevel=ERROR")  # a connection that is lost is noticed within a minute
SHELL = "bash -l -s"  # a login shell: where clusters put their commands on the path
BEGIN = "stillhouse-begins-here"  # what profiles print and complain of comes before it
ANSWER_SECONDS = 90.0  # that a command gets
OF_SSH, NOT_FOUND, VANISHED = 255, 127, 24  # exit codes; the last of rsync, where a file was renamed under its eyes
RSYNC = ("rsync", "--secluded-args", "--no-inc-recursive", "--info=progress2", "--partial-dir=.partial", "--timeout=120", "-e",
         " ".join(SSH))
REASONS = (  # words of ssh -> what was expected, and what to do
    (r"Could not resolve hostname|not known", "A name that ssh knows was expected, as one of ~/.ssh/config.",
     "Correct the launcher's host until `ssh {host}` works in a terminal."),
    (r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED", "A host whose key ssh knows was expected.",
     "Connect once in a terminal (ssh {host}) and compare the key."),
    (r"Permission denied \(\D|Too many authentication failures", "A key that the host accepts without a prompt was expected.",
     "Bring one there (ssh-copy-id {host}) or unlock it (ssh-add), until `ssh -o BatchMode=yes {host}` works in a terminal."))
FULL = r"No space left on device|Disk quota exceeded"
CUT = (OF_SSH, 10, 12, 30, 35)  # exit codes of rsync where ssh ended, or its peer did
OF_FILE, BROKEN = r"^rsync: .*(?<!Broken pipe) \(\d+\)$", "Broken pipe|Connection reset"  # what is said of a file; of a connection


@dataclass(frozen=True)
class Done:
    """How a command ended there."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Host:
    """A destination of ssh.

    Attributes:
        name: as `NAME`.
    """

    name: str

    def run(self, *command: str) -> Done:
        """Carry out one command, as `script`."""
        return self.script(f"exec {shlex.join(command)} </dev/null")

    def script(self, text: str) -> Done:
        """Carry out lines of bash. Raises HostError where ssh does not get through, or no answer comes."""
        _require("ssh")
        try:
            done = subprocess.run([*SSH, "--", self.name, SHELL], input=f"echo {BEGIN}; echo {BEGIN} >&2\n{text}\n", capture_output=True,
                                  text=True, errors="replace", timeout=ANSWER_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise HostError(f"'{self.name}' does not answer.", "", f"See whether `ssh {self.name}` works in a terminal.") from error
        (_, begun, out), (before, _, err) = (printed.partition(f"{BEGIN}\n") for printed in (done.stdout, done.stderr))
        if done.returncode == OF_SSH:
            raise self._unreached(err or before)
        if not begun:
            raise LaunchError(f"'{self.name}' runs no commands ({_said(done.stderr or done.stdout)}).",
                              "An account whose shell can start bash was expected.", f"See what `ssh {self.name} bash -l -s` says.")
        return Done(done.returncode, out, err)

    def push_command(self, source: str, target: str, *options: str) -> list[str]:
        """Return the command that copies a file or folder into the folder `target` there; links become what they lead to.

        Args:
            source: absolute path; with a slash at its end, what is in that folder.
        """
        return [*RSYNC, "--recursive", "--copy-links", "--times", *options, "--", source, f"{self.name}:{target}/"]

    def pull_command(self, source: str, target: Path, *options: str) -> list[str]:
        """Return the command that copies the content of a folder there into a folder here."""
        return [*RSYNC, "--recursive", "--links", "--times", *options, "--", f"{self.name}:{source}/", f"{target}/"]

    def copy(self, command: Sequence[str], on_percent: Callable[[int], None] | None = None) -> str:
        """Carry out a command of rsync, and return what it printed beside its progress.

        Args:
            on_percent: called with the share of the bytes that are over; what it raises ends rsync, which continues there another time.

        Raises:
            HostError: ssh does not get through, or the connection was lost.
            LaunchError: rsync is missing or old here or there, a disk is full, a folder cannot be written.
        """
        _require("rsync")
        _require("ssh")
        with tempfile.TemporaryFile() as errors, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                                  stderr=errors) as process:
            assert process.stdout is not None, "it is a pipe"
            printed, shown = b"", -1
            try:
                while part := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
                    printed += part
                    *_, percent = (-1, *map(int, re.findall(rb"(\d+)%", part)))
                    if on_percent is not None and percent > shown:
                        shown = percent
                        on_percent(percent)
            except BaseException:
                process.terminate()
                process.wait()
                raise
            process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if process.returncode not in (0, VANISHED):
            raise self._not_copied(process.returncode, said, there=command[-1].startswith(f"{self.name}:"))
        return printed.decode(errors="replace")

    def differences(self, source: str, target: Path, *options: str) -> list[str]:
        """Return the files there whose content here is another one, or none, by checksums of both. Raises as `copy`."""
        printed = self.copy(self.pull_command(source, target, "--no-times", "--checksum", "--dry-run", "--info=progress0",
                                              "--out-format=%i %n", *options))
        return [line.partition(" ")[2] for line in printed.splitlines() if re.match(r"[<>ch*]\S* ", line)]

    def _unreached(self, stderr: str) -> HostError:
        said = _said(stderr)
        for words, expected, fix in REASONS:
            if re.search(words, stderr):
                error = HostError(f"ssh does not get to '{self.name}' ({said}).", expected, fix.format(host=self.name))
                error.lasting = True
                return error
        return HostError(f"There is no connection to '{self.name}' ({said}).", "", f"See whether `ssh {self.name}` works in a terminal.")

    def _not_copied(self, code: int, stderr: str, *, there: bool) -> LaunchError:
        said = _said(stderr)
        if re.search(FULL, stderr):
            full = f"'{self.name}'" if there else "this machine"
            return LaunchError(f"The disk of {full} is full ({said}).", "", "Make room there; what was copied so far is kept.")
        if code == NOT_FOUND or re.search(r"command not found|\(code 127\)", stderr):
            return LaunchError(f"There is no rsync on '{self.name}' ({said}).", "It copies the files of a run.", "Have it installed there.")
        if code in CUT and not re.search(OF_FILE, said):
            return self._unreached(stderr)
        if code in (1, 2, 4):
            return LaunchError(f"rsync does not understand what it is to do ({said}).", "rsync 3.1 or newer was expected, here and there.",
                               "Install it; macOS brings another program of that name.")
        return LaunchError(f"Files could not be copied {'to' if there else 'from'} '{self.name}' ({said}).",
                           "Folders that can be read and written were expected.", "Put that right, and try again.")


def _require(program: str) -> None:
    if shutil.which(program) is None:
        raise LaunchError(f"'{program}' is not here.", f"A host is reached by ssh, and files are copied by rsync: {program} is missing.",
                          f"Install {program} on this machine.")


def _said(text: str) -> str:
    """Return the line that says why, of what a program printed; that the connection was lost only follows from it."""
    lines = [line.strip().rstrip(".") for line in text.splitlines() if line.strip()]
    of_programs = [line for line in lines if not line.startswith(("rsync error:", "rsync: connection unexpectedly closed"))]
    reasons = [line for line in of_programs if not re.search(BROKEN, line)]
    return (reasons or of_programs or lines or ["without a word"])[-1]

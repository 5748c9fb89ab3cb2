"""The application's own errors, under the engine's root.

    StillhouseError (core.errors)
    ├── StudyError                a check of a claim, or an ablation, cannot be started
    ├── DesktopError              the file manager cannot show a folder
    ├── LessonError               a lesson that cannot be read; it names the line
    ├── LinkError                 a link to an experiment that is damaged, too long or of another release
    ├── ClassError                what a class does not allow, or a class that is not there
    ├── LaunchError               a place outside this machine that refuses a run, or does not answer
    │   └── HostError                  a host that ssh does not get through to
    ├── ServeError                the app cannot answer at the requested address
    └── StoreError                anything the run store refuses
        ├── StoreUnavailableError      the store cannot be read or written: read-only, full, locked, broken, too new
        ├── RunNotFoundError           no run of that id or name
        ├── SweepNotFoundError         no sweep of that id or name
        ├── RunNameTakenError          another run has the name
        └── WrongStatusError           the run is not in a state that allows it, as deleting while it trains
"""

from __future__ import annotations

from core.errors import StillhouseError


class StudyError(StillhouseError):
    """A check of a claim, or an ablation, cannot be started."""


class DesktopError(StillhouseError):
    """The file manager cannot show a folder."""


class LessonError(StillhouseError):
    """A lesson that cannot be read; it names the line."""


class LinkError(StillhouseError):
    """A link to an experiment that is damaged, too long or of another release."""


class ClassError(StillhouseError):
    """What a class does not allow, or a class that is not there."""


class LaunchError(StillhouseError):
    """A place outside this machine, as a cluster, that refuses a run or does not answer."""


class HostError(LaunchError):
    """A host that ssh does not get through to.

    Attributes:
        lasting: whether it stays so until the user changes something, as a key that is refused.
    """

    lasting = False


class ServeError(StillhouseError):
    """The app cannot answer at the requested address."""


class StoreError(StillhouseError):
    """Anything the run store refuses."""


class StoreUnavailableError(StoreError):
    """The store cannot be read or written."""


class RunNotFoundError(StoreError):
    """No run of that id or name."""


class SweepNotFoundError(StoreError):
    """No sweep of that id or name."""


class RunNameTakenError(StoreError):
    """Another run has the name."""


class WrongStatusError(StoreError):
    """The run is not in a state that allows it."""

"""Every error that a user can cause or must act on.

    StillhouseError
    ├── ConfigError               a recipe or an option: unknown key, wrong type, value out of range
    ├── ModelError                a model reference that cannot be used
    │   ├── ModelNotFoundError         nothing of that name, folder or id
    │   ├── CorruptModelError          files missing, truncated or not what they claim to be
    │   ├── UnsafeModelError           needs pickle or remote code, which are never read
    │   ├── UnsupportedModelError      an architecture whose anatomy is not described
    │   └── ExportError           it cannot be written in the form that was asked for
    ├── CompatibilityError        two models that cannot be distilled or compared
    ├── DataError                 a dataset that cannot be read or holds too little
    ├── DeviceError               a device that is not there
    ├── NetworkError              something had to be fetched and could not be
    └── RunError                  a run that failed while it was running
        ├── NonFiniteLossError         the loss became NaN or infinite
        ├── OutOfMemoryError           the device or the machine had no memory left
        └── DiskFullError              nothing could be written any more

The application adds its own branches under the same root (see `workbench.errors`).
"""

from __future__ import annotations


class StillhouseError(Exception):
    """A mistake or a condition that the user can do something about.

    Args:
        given: what was passed or what happened, as one sentence.
        expected: what would have been right, as one sentence; may be empty.
        fix: what to do now, as one sentence; may be empty.
    """

    exit_code = 2

    def __init__(self, given: str, expected: str = "", fix: str = "") -> None:
        self.given, self.expected, self.fix = given, expected, fix
        super().__init__(" ".join(part for part in (given, expected, fix) if part))


class ConfigError(StillhouseError):
    """A recipe or an option that says something impossible."""


class ModelError(StillhouseError):
    """A model reference that cannot be used."""


class ModelNotFoundError(ModelError):
    """Nothing answers to that name, folder or id."""


class CorruptModelError(ModelError):
    """The files are missing, truncated or not what they claim to be."""


class UnsafeModelError(ModelError):
    """The model needs pickle or remote code, which are never read."""


class UnsupportedModelError(ModelError):
    """An architecture whose anatomy is not described."""


class ExportError(ModelError):
    """The model cannot be written in the form that was asked for."""


class CompatibilityError(StillhouseError):
    """Two models that cannot be distilled or compared."""


class DataError(StillhouseError):
    """A dataset that cannot be read or holds too little."""


class DeviceError(StillhouseError):
    """A device that is not there."""


class NetworkError(StillhouseError):
    """Something had to be fetched and could not be."""


class RunError(StillhouseError):
    """A run that failed while it was running; the command line ends with 1, not 2."""

    exit_code = 1


class NonFiniteLossError(RunError):
    """The loss became NaN or infinite."""


class OutOfMemoryError(RunError):
    """The device or the machine had no memory left."""


class DiskFullError(RunError):
    """Nothing could be written any more."""

"""Addresses of servers that teachers answer at, as recipes name them: ``http://host:port``, or ``http://host:port#model``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from core.errors import ConfigError

FIELD = "teacher.model"


@dataclass(frozen=True, slots=True)
class ServedAddress:
    """Where a teacher answers.

    Attributes:
        url: scheme, host, port and what stands in front of ``/v1``; no credentials.
        model: as the server calls it; empty for the only one that it has.
    """

    url: str
    model: str = ""

    @property
    def name(self) -> str:
        """What a recipe names it by."""
        return f"{self.url}#{self.model}" if self.model else self.url

    @property
    def host(self) -> str:
        """The name or the number of the machine."""
        return urlsplit(self.url).hostname or ""


def is_address(reference: str | None) -> bool:
    """Return whether a model reference is an address rather than the name of a model."""
    return reference is not None and reference.lower().startswith(("http://", "https://"))


def parse_address(reference: str) -> ServedAddress:
    """Return the parts of an address.

    Raises:
        ConfigError: no host, a port that is none, or credentials, which are not repeated in the message.
    """
    wanted = "An address as http://127.0.0.1:8000 was expected, with #model behind it where the server has several."
    try:
        parts = urlsplit(reference.strip())
        port = parts.port
    except ValueError:
        raise ConfigError("The teacher's address cannot be read.", wanted, "Write it so.", field=FIELD) from None
    if parts.username is not None or parts.password is not None or parts.query:
        raise ConfigError("The teacher's address holds a user, a password or a query.", "Recipes, logs and model cards would repeat it.",
                          "Put the key into the environment variable STILLHOUSE_TEACHER_KEY, and leave it out here.", field=FIELD)
    if not parts.hostname:
        raise ConfigError("The teacher's address names no host.", wanted, "Write it so.", field=FIELD)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1")
    return ServedAddress(f"{parts.scheme.lower()}://{host}{f':{port}' if port is not None else ''}{path}", parts.fragment)

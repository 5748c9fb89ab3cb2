"""A recipe in an address: main settings readable, the rest packed, the whole with a checksum.

    /new?teacher=house-chat&layers=4&T=2&steps=150&r=eJy...&c=5f1c09ab

``r`` is what else differs from the defaults, as JSON, deflated, in base64 for addresses; ``c`` begins the SHA-256 of the whole
configuration, so that a link opens exactly what was shared, or says that it does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from core.config import DistillConfig, ExperimentConfig
from core.recipes import apply_overrides, override, parse_recipe
from core.system import plain_data
from core.system.plain_data import PlainDataError
from workbench.errors import LinkError

MAIN = {  # in the order in which they stand in the address
    "teacher": "teacher.model", "layers": "student.layers", "T": "losses.temperature", "w_kd": "losses.w_kd", "w_hard": "losses.w_hard",
    "data": "data.source", "steps": "train.max_steps", "lr": "train.learning_rate", "seed": "train.seed"}
SHOWN = ("teacher", "layers", "T", "steps")  # stand in every link that has them
PACKED, CHECKSUM, KIND = "r", "c", "kind"
LINKED = ("distill", "pretrain", "bridge")  # kinds that the page New experiment has a form for
LONGEST = 6000  # characters of a query; servers and messengers cut longer addresses
LARGEST = 1 << 17  # bytes of what is packed
CHECKSUM_DIGITS = 8
YAML_INSTEAD = "Share the YAML instead."


def to_query(config: ExperimentConfig) -> dict[str, str]:
    """Return the parameters of the link that opens exactly this configuration.

    Raises:
        LinkError: it is a chain or a task, which have no such links, or it is too long.
    """
    if config.kind not in LINKED:
        raise LinkError(f"A recipe of kind '{config.kind}' has no link that holds the whole of it.", "", YAML_INSTEAD)
    plain, usual = _flat(config.to_dict()), _flat(_defaults(config.kind))
    query: dict[str, str] = {} if config.kind == "distill" else {KIND: config.kind}
    for short, path in MAIN.items():
        if path in plain and plain[path] is not None and (short in SHOWN or plain[path] != usual.get(path)):
            query[short] = override(path, plain[path]).partition("=")[2]
    rest = {path: value for path, value in plain.items()
            if usual.get(path, ...) != value and path != "kind" and not (path in MAIN.values() and value is not None)}
    if rest:
        query[PACKED] = base64.urlsafe_b64encode(zlib.compress(json.dumps(rest, separators=(",", ":")).encode(), 9)).decode().rstrip("=")
    query[CHECKSUM] = checksum(config)
    length = sum(len(key) + len(value) + 2 for key, value in query.items())
    if length > LONGEST:
        raise LinkError(f"The link would have {length:,} characters.", f"At most {LONGEST:,} are safe in an address.", YAML_INSTEAD)
    return query


def is_link(query: Mapping[str, Any]) -> bool:
    """Return whether the parameters of an address hold a recipe."""
    return PACKED in query or CHECKSUM in query or any(short in query for short in MAIN)


def from_query(query: Mapping[str, str]) -> ExperimentConfig:
    """Return the configuration that a link holds.

    Raises:
        LinkError: it is too long, damaged or changed.
        ConfigError: a setting in it cannot be used.
    """
    length = sum(len(key) + len(value) + 2 for key, value in query.items())
    if length > 2 * LONGEST:
        raise LinkError(f"The link has {length:,} characters.", f"At most {LONGEST:,} were expected.", YAML_INSTEAD)
    kind = query.get(KIND, "distill")
    if kind not in LINKED:
        raise LinkError(f"The link names the kind '{kind}'.", f"Of these: {', '.join(LINKED)}.", YAML_INSTEAD)
    plain = _defaults(kind)
    for path, value in (_unpacked(query[PACKED]) if PACKED in query else {}).items():
        _put(plain, path, value)
    changes = [f"{path}={query[short]}" for short, path in MAIN.items() if short in query]
    config = parse_recipe(apply_overrides(plain, changes))
    if CHECKSUM in query and query[CHECKSUM] != checksum(config):
        raise LinkError(f"The link was changed, cut, or made by another release: its checksum is {query[CHECKSUM]}.",
                        f"{checksum(config)} was expected for what it holds.",
                        f"Ask for it again; or remove '{CHECKSUM}={query[CHECKSUM]}' from the address to open it as it stands.")
    return config


def checksum(config: ExperimentConfig) -> str:
    """Return the digits that stand for a whole configuration, its name included."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()[:CHECKSUM_DIGITS]


def _defaults(kind: str) -> dict[str, Any]:
    """Return what a link need not say; of kinds that cannot do without settings, only the kind."""
    return DistillConfig().to_dict() if kind == "distill" else {"kind": kind}


def _unpacked(text: str) -> dict[str, Any]:
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        inflater = zlib.decompressobj()
        content = inflater.decompress(packed, LARGEST)
        if inflater.unconsumed_tail or not inflater.eof:
            raise LinkError("The packed part of the link is cut, or far too long.", f"At most {LARGEST:,} bytes were expected.",
                            "Ask for the link again.")
        found = plain_data.parse_json(content.decode())
    except (binascii.Error, zlib.error, ValueError, PlainDataError) as error:
        raise LinkError("The packed part of the link is damaged.", "It has to be copied whole.", "Ask for the link again.") from error
    if not isinstance(found, dict) or not all(isinstance(path, str) for path in found):
        raise LinkError("The packed part of the link holds no settings.", "", "Ask for the link again.")
    return found


def _put(plain: dict[str, Any], path: str, value: Any) -> None:
    *sections, leaf = path.split(".")
    place = plain
    for section in sections:
        if not isinstance(place.get(section), dict):
            place[section] = {}
        place = place[section]
    place[leaf] = value


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return dict(_leaves(plain, prefix))


def _leaves(plain: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, Mapping) and not {"start", "end"} <= set(value):  # a ramp is one value
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value

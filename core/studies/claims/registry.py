"""All claims by name. To add one, add it to the CLAIMS of its system's module; a new module takes its place in `SYSTEMS`."""

from __future__ import annotations

import difflib

from core.errors import ConfigError
from core.studies.claims import bridge, chain, distilbert, expansion, hinton, patching, reading, signals, specialists
from core.studies.claims.claim import Claim

SYSTEMS = (chain, bridge, expansion, patching, distilbert, hinton, specialists, signals, reading)

CLAIMS: dict[str, Claim] = {claim.name: claim for system in SYSTEMS for claim in system.CLAIMS}


def find(name: str) -> Claim:
    """Return the claim of that name, in capitals or not. Raises ConfigError that gives the nearest names."""
    claim = CLAIMS.get(name.upper())
    if claim is None:
        near = difflib.get_close_matches(name.upper(), CLAIMS, n=3, cutoff=0.4)
        raise ConfigError(f"There is no claim '{name}'.", f"The claims are {', '.join(CLAIMS)}.",
                          f"Did you mean {' or '.join(near)}?" if near else "")
    return claim

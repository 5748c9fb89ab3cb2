"""Settings of claims as plain data."""

from __future__ import annotations

import json
from dataclasses import replace

from core.studies.claims.chain_protocol import ChainProtocolConfig


def test_settings_are_plain_data_and_differ_by_digest() -> None:
    setting = ChainProtocolConfig()
    assert json.loads(json.dumps(setting.to_dict())) == setting.to_dict()
    assert setting.digest() != replace(setting, recovery_steps=1).digest() != replace(setting, batch=1).digest()

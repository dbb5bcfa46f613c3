"""What machines that we do not have printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML


@pytest.fixture(scope="session")
def seen() -> Mapping[str, Mapping[str, str]]:
    """The recorded outputs, by name."""
    loaded: Mapping[str, Mapping[str, str]] = YAML(typ="safe").load(Path(__file__).with_name("seen.yaml"))
    return loaded

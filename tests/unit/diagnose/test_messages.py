"""Messages of the real programs, and logs of real failures, end in their cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from blackstack.diagnose import diagnose
from blackstack.diagnose.redact import Redactor

HEALTHY = "healthy"
MESSAGES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(Path(__file__).with_name("messages.yaml"))
LOGS = sorted(Path(__file__).parents[2].joinpath("logs").glob("*/*.log"))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{m['code']}: {m['from']}")
def test_a_message_names_its_cause(message: dict[str, Any]) -> None:
    findings = diagnose(message["log"].splitlines())

    assert message["code"] == (findings[0].code if findings else HEALTHY)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}/{log.stem}")
def test_a_log_that_we_provoked_names_its_cause(log: Path) -> None:
    findings = diagnose(log)

    assert log.parent.name == (findings[0].code if findings else HEALTHY)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}/{log.stem}")
def test_a_committed_log_holds_nothing_that_a_bundle_would_take_out(log: Path) -> None:
    text = log.read_text()

    assert text == Redactor()(text)

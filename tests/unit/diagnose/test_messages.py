"""Messages of the real programs, and logs of real failures, end in their cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from blackstack.diagnose import ExitFacts, diagnose
from blackstack.diagnose.redact import Redactor
from blackstack.diagnose.signatures import load

HEALTHY = "healthy"
MESSAGES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(Path(__file__).with_name("messages.yaml"))
FOLDER = Path(__file__).parents[2] / "logs"
SILENT = FOLDER / "silent"
LOGS = sorted(log for log in FOLDER.glob("*/*.log") if log.parent != SILENT)


def test_every_cause_is_proved_by_a_message_or_a_log() -> None:
    proved = {message["code"] for message in MESSAGES} | {log.parent.name for log in LOGS}

    assert set() == {code for code, signature in load().by_code.items() if signature.any} - proved


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{m['code']}: {m['from']}")
def test_a_message_names_its_cause(message: dict[str, Any]) -> None:
    findings = diagnose(message["log"].splitlines())

    assert message["code"] == (findings[0].code if findings else HEALTHY)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}/{log.stem}")
def test_a_log_that_we_provoked_names_its_cause(log: Path) -> None:
    findings = diagnose(log)

    assert log.parent.name == (findings[0].code if findings else HEALTHY)


def test_a_server_that_the_oom_killer_took_says_nothing_but_the_facts_do() -> None:
    log = SILENT / "vllm-oom.log"

    (finding,) = diagnose(log, ExitFacts(exit_code=137, oom_killed=True))

    assert diagnose(log) == ()
    assert finding.code == "host-oom-killed"


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}/{log.stem}")
def test_a_committed_log_holds_nothing_that_a_bundle_would_take_out(log: Path) -> None:
    text = log.read_text()

    assert text == Redactor()(text)

"""`inv diagnose` answers about a stack, not about the file that its log was put into."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from blackstack import catalog
from blackstack.diagnose import ExitFacts
from blackstack.verbs import diagnosing
from blackstack.verbs.choose import Found
from tests.unit.conftest import REPOSITORY


def up_with(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Let llamacpp-cpu run, with this log."""

    def tail(_stack: catalog.Stack, _lines: int) -> Sequence[str]:
        return lines

    found = Found(
        stack=catalog.load(REPOSITORY, "llamacpp-cpu"),
        runtime=SimpleNamespace(tail=tail, name="process"),
        running=SimpleNamespace(state="running"),  # type: ignore[arg-type]
        note={},
    )
    monkeypatch.setattr(diagnosing, "find", lambda _stack, *, include_dead: found if include_dead else None)
    monkeypatch.setattr(diagnosing, "facts_now", lambda *_: ExitFacts())


def test_the_answer_names_the_stack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    up_with(monkeypatch, "ImportError: libnuma.so.1: cannot open shared object file: No such file or directory")

    assert diagnosing.diagnose(diagnosing.Question(stack="llamacpp-cpu")) == 1

    told = capsys.readouterr().out
    assert told.splitlines()[0] == "llamacpp-cpu"
    assert "inv watch" not in told


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_running_server_with_a_log_in_order_is_to_be_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    up_with(monkeypatch, "main: server is listening on http://127.0.0.1:8080")

    ask = "inv watch --once --stack llamacpp-cpu"

    assert diagnosing.diagnose(diagnosing.Question(stack="llamacpp-cpu", language=language)) == 0
    assert ask in capsys.readouterr().out

    assert diagnosing.diagnose(diagnosing.Question(stack="llamacpp-cpu", language=language, as_json=True)) == 0
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["code"], finding["severity"], finding["verify"]) == ("running-not-asked", "info", ask)
    assert finding["fix"][0].startswith(ask)


def test_a_stack_without_docker_gets_commands_without_docker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = "Free memory on device cuda:0 (10.13/31.36 GiB) on startup is less than desired GPU memory utilization"
    up_with(monkeypatch, free)

    assert diagnosing.diagnose(diagnosing.Question(stack="llamacpp-cpu", as_json=True)) == 1

    (finding,) = json.loads(capsys.readouterr().out)
    assert "docker" not in json.dumps(finding["fix"])
    assert finding["fix"][1].startswith("inv down --stack llamacpp-cpu")
    assert "--gpu-memory-utilization 0.32" in finding["fix"][2]

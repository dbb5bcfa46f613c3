"""`inv lint`: which files are meant, what is printed, and the exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from blackstack.errors import UsageError
from blackstack.lint import RULES
from blackstack.verbs import linting
from tests.unit.conftest import REPOSITORY

CLEAN = Path(__file__).with_name("vllm.yaml")


def test_all_of_ours_are_clean_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    code = linting.lint()

    files = len(list((REPOSITORY / "compose").glob("*.yaml")))
    assert code == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{files} files, {len(RULES)} rules: ")


def test_a_fault_ends_with_1_and_says_what_why_and_what_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "docker-compose.yml"
    path.write_text(CLEAN.read_text().replace("on-failure:3", "always"))

    number = path.read_text().splitlines().index("    restart: always") + 1

    code = linting.lint(file=str(path))

    assert code == 1
    assert capsys.readouterr().out.splitlines()[:4] == [
        "error: server is started again without end  [restart-unbounded]",
        f"  {path}:{number}: always",
        "  a server that dies on start loads its weights for ever, and the first cause scrolls away",
        "  next: restart: on-failure:3",
    ]


def test_a_warning_alone_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(CLEAN.read_text().replace("    restart: on-failure:3\n", ""))

    assert linting.lint(file=str(path)) == 0


def test_json_is_a_list_of_findings_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(CLEAN.read_text().replace("shm_size: 8gb", "stop_grace_period: 1m"))

    code = linting.lint(file=str(path), as_json=True)

    (finding,) = json.loads(capsys.readouterr().out)
    assert code == 1
    assert finding["code"] == "shm-missing"
    assert set(finding) == {"code", "severity", "title", "evidence", "cause", "fix", "verify", "source"}


def test_a_file_of_ours_is_linted_as_the_stack_that_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)

    assert linting.lint(file="compose/vllm-cpu.yaml", as_json=True) == linting.lint(stack="vllm-cpu", as_json=True)
    assert capsys.readouterr().out == "[]\n[]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("services: [1", "does not parse"),
        ("a: 1", "is no compose file"),
        ("[]", "is no compose file"),
        ("services: 3", "is no compose file"),
        ("\x00", "does not parse"),
    ],
)
def test_what_is_no_compose_file_is_a_usage_error(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(text)

    with pytest.raises(UsageError, match=says) as caught:
        linting.lint(file=str(path))

    assert "next: " in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"file": "no-such-file.yaml"}, "cannot read no-such-file.yaml"),
        ({"file": "/"}, "cannot read /"),
        ({"stack": "vlm-cpu"}, "no stack called 'vlm-cpu'"),
        ({"stack": "../compose/vllm-cpu"}, "no stack called"),
        ({"stack": "vllm-cpu", "file": "x"}, "give one of the two"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(asked: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        linting.lint(**asked)  # type: ignore[arg-type]

    assert "next: " in str(caught.value)


@pytest.mark.parametrize(
    "odd",
    [
        "{a: null}",
        "{a: [], b: 7, c: text}",
        "{a: {image: [x], command: 5, ports: 3, healthcheck: no, environment: 7, deploy: [], volumes: {}}}",
        "{a: {image: vllm/vllm-openai:v0.32.0, command: [null, 1, 2.5, true, [x], {y: z}], environment: [1, null]}}",
        "{a: {image: x:1, ports: [8000, 1.5, null, {}], volumes: [null, 3, {}], gpus: {a: b}, cap_drop: ALL}}",
        "{a: {deploy: {resources: {reservations: {devices: [null, 3, {count: [1]}]}}}, healthcheck: {test: {}}}}",
    ],
)
def test_values_of_the_wrong_kind_are_findings_and_no_crash(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(f"services: {odd}\nx-stack: [1]\nvolumes: 3\n")

    assert linting.lint(file=str(path)) == 1


def test_the_environment_of_the_caller_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DTYPE", "nonsense")

    assert linting.lint(stack="vllm-cpu") == 0

"""An engine's own log says how far its start has come."""

from __future__ import annotations

from pathlib import Path

import pytest

from blackstack.diagnose import stages
from blackstack.errors import UsageError
from tests.unit.conftest import REPOSITORY

HEALTHY = REPOSITORY / "tests/logs/healthy"
WHOLE = ("import", "weights", "kv-cache", "serving")


@pytest.mark.parametrize(
    ("log", "come_to"),
    [
        ("vllm-cpu-start.log", (*WHOLE, "first-completion")),
        ("llamacpp-start.log", WHOLE),
        ("vllm-cuda-2025-09-thread.log", ("weights", "compile")),
        ("vllm-cuda-2025-11-thread.log", ("compile", "kv-cache", "graph-capture")),
        ("vllm-cuda-2026-06-thread.log", ("weights", "compile")),
        ("sglang-2025-08-thread.log", ("weights", "kv-cache", "graph-capture")),
        ("sglang-2025-12-thread.log", ("import", "weights")),
    ],
)
def test_the_stages_of_a_real_start_are_found_in_its_log(log: str, come_to: tuple[str, ...]) -> None:
    assert stages.entered((HEALTHY / log).read_text(encoding="utf-8").splitlines()) == come_to


@pytest.mark.parametrize("log", ["vllm-cpu-start.log", "llamacpp-start.log", "vllm-cuda-2025-11-thread.log"])
def test_no_stage_is_announced_before_its_turn(log: str) -> None:
    lines = (HEALTHY / log).read_text(encoding="utf-8").splitlines()
    order = [stage.name for stage in stages.load()]
    latest = 0

    for count in range(1, len(lines) + 1):
        for name in stages.entered(lines[:count])[-1:]:
            assert order.index(name) >= latest, lines[count - 1]
            latest = order.index(name)


def test_a_log_that_says_nothing_known_announces_nothing() -> None:
    assert stages.entered(["hello", "", "a server of our own"]) == ()


def test_each_stage_says_what_it_does_and_what_slowness_has_meant() -> None:
    for stage in stages.load():
        assert stage.say.en != stage.say.ko
        assert stage.slow.en != stage.slow.ko


def test_a_file_without_the_last_stages_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "stages.yaml"
    file.write_text("- {name: import, say: {en: x, ko: y}, slow: {en: x, ko: y}, budget_s: 1}\n")

    with pytest.raises(UsageError, match="lacks the stages serving, first-completion"):
        stages.load(file)


def test_a_fault_of_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "stages.yaml"
    file.write_text("- {name: import, say: {en: x, ko: y}, slow: {en: x, ko: y}, budget_s: 0, seen: {tgi: [abcd]}}\n")

    with pytest.raises(UsageError, match=r"stages\.yaml has 2 fault") as caught:
        stages.load(file)

    assert "budget_s" in str(caught.value)
    assert "tgi" in str(caught.value)

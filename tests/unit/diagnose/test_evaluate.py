"""The evaluation counts honestly: silence is right only for a healthy log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blackstack.diagnose.evaluate import Case, Score, main, read

GIVEN = Path(__file__).parents[4] / "shared" / "errors" / "errors.jsonl"


def test_scores_count_the_first_answer_the_first_three_and_false_alarms() -> None:
    cases = [
        Case("a", "x", ("x",)),
        Case("b", "x", ("y", "x")),
        Case("c", "x", ()),
        Case("d", "healthy", ()),
        Case("e", "healthy", ("x",)),
    ]

    assert Score.of(cases) == Score(failures=3, top1=1, top3=2, healthy=2, false_alarms=1)


def test_a_wrong_answer_is_shown_and_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        {"id": "A", "label": "libnuma-missing", "log": "libnuma.so.1: cannot open shared object file"},
        {"id": "B", "label": "disk-full", "log": "nothing to see"},
    ]
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, records)))

    assert main([str(file), "--at-least", "0.9"]) == 1
    assert "B  disk-full  ←  nothing" in capsys.readouterr().out
    assert main([str(file), "--at-least", "0.5"]) == 0


@pytest.mark.parametrize("text", ["{", '{"id": 1}'])
def test_what_is_no_file_of_logs_is_bad_usage(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(text)

    assert main([str(file)]) == 2


@pytest.mark.skipif(not GIVEN.exists(), reason="the labelled logs lie beside the repository, not in it")
def test_the_given_logs_are_diagnosed_and_the_healthy_ones_left_in_peace() -> None:
    score = Score.of(read(GIVEN))

    assert score.top1 >= 0.95 * score.failures
    assert score.false_alarms == 0

"""docs/lint.md is what the rules say."""

from __future__ import annotations

from pathlib import Path

import pytest

from blackstack.lint import RULES
from blackstack.lint.guide import main, page


def test_the_committed_page_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_a_stale_page_is_told_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--page", str(tmp_path / "lint.md")]

    assert main(["--check", *place]) == 1
    assert "is stale; next: python -m blackstack.lint.guide" in capsys.readouterr().err
    assert main(place) == 0
    assert main(["--check", *place]) == 0


def test_every_rule_has_its_row() -> None:
    assert all(f"| `{rule.code}` | {rule.severity} |" in page() for rule in RULES)


def test_no_two_rules_have_the_same_code() -> None:
    codes = [rule.code for rule in RULES]

    assert len(codes) == len(set(codes))

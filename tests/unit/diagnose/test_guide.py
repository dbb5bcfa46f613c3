"""The troubleshooting pages are what the signatures say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackstack.diagnose.guide import PAGES, main, page
from blackstack.diagnose.signatures import load

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_committed_pages_are_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_a_stale_page_is_told_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--docs", str(tmp_path)]) == 1
    assert "is stale; next: python -m blackstack.diagnose.guide" in capsys.readouterr().err
    assert main(["--docs", str(tmp_path)]) == 0
    assert main(["--check", "--docs", str(tmp_path)]) == 0
    assert set(PAGES.values()) == {file.name for file in tmp_path.iterdir()}


def test_every_cause_has_its_place_in_both_languages() -> None:
    for language in PAGES:
        text = page(load(), language)
        assert all(f"### {code}\n" in text for code in load().by_code)


def test_the_korean_page_is_korean() -> None:
    text = page(load(), "ko")

    assert "GPU 메모리가 모자랍니다" in text
    assert "The log says" not in text

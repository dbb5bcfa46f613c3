"""A pattern's anchors are what its matches cannot do without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.diagnose.anchors import anchors, compiled
from blackstack.diagnose.signatures import load, regexes


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("no kernel image", {"no kernel image"}),
        (r"Free memory on device .* is less than", {"free memory on device "}),
        (r"undefined symbol: _Z\w+", {"undefined symbol: _z"}),
        (r"(?:clang|x86-gcc)\S*: not", {"clang", "x86-gcc"}),
        (r"port is (?:already )?in use", {"port is "}),
        (r"EADDRINUSE|Errno 98", {"eaddrinuse", "errno 98"}),
        (r"colou?rs and shades", {"rs and shades"}),
        (r"undefined: (?-i:cu[A-Z])", {"undefined: "}),
        (r"majors (?![^\]]*12)", {"majors "}),
        (r"--help \[now\]", {"--help [now]"}),
    ],
)
def test_anchors_are_the_longest_plain_text_that_every_match_holds(pattern: str, expected: set[str]) -> None:
    assert expected == anchors(pattern)


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        (r"\d+, \d+", "plain characters in a row"),
        (r"Killed|\w+", "plain characters in a row"),
        (r"(?:something)?", "plain characters in a row"),
        ("unbalanced (", "not a regular expression"),
        (r"\x41bcdef", "is not used here"),
        ("(?P<name>abcdef)", "not used here"),
        ("오류입니다", "plain ASCII"),
    ],
)
def test_a_pattern_that_cannot_be_searched_for_fast_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        anchors(pattern)


PATTERNS = sorted({r for s in load().signatures for item in s.any for r in regexes(item)})


@given(st.data())
def test_every_text_that_a_pattern_of_ours_matches_holds_one_of_its_anchors(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from([p for p in PATTERNS if "(?-i:" not in p]))
    text = data.draw(st.from_regex(pattern.encode()))

    assert compiled(pattern).search(text)
    assert any(anchor.encode() in text.lower() for anchor in anchors(pattern))

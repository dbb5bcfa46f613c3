"""A version is compared as numbers, never as text."""

from __future__ import annotations

import pytest

from blackstack.versions import numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("580.95.05", (580, 95, 5)),
        ("26.1.5+dfsg1", (26, 1, 5)),
        ("v2.32.4-desktop.1", (2, 32, 4)),
        (" 0.23.0rc1 ", (0, 23, 0)),
        ("unknown", ()),
        ("", ()),
    ],
)
def test_the_numbers_are_those_before_the_first_thing_that_is_none(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text) == expected


def test_a_longer_number_is_the_greater_one() -> None:
    assert numbers("0.9") < numbers("0.10") < numbers("0.10.1")

"""A range is a row of data: what it allows, and that it is of a flag that some version has."""

from __future__ import annotations

import pytest

from blackstack.flags import Range, ranges, versions
from blackstack.flags.known import load

ENGINES = ("vllm", "sglang", "llamacpp")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_range_is_of_a_flag_that_takes_numbers_and_says_where_it_is_from(engine: str) -> None:
    assert ranges(engine)
    for name, found in ranges(engine).items():
        kinds = {load(engine, one).by_name[name].kind for one in versions(engine) if name in load(engine, one).by_name}
        assert kinds, name
        assert kinds <= {"whole", "number", "size"}, name
        assert found.source, name


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("0.9", ""),
        ("1", ""),
        ("0", "must be above 0 and at most 1"),
        ("1.5", "must be above 0 and at most 1"),
        ("-0.1", "must be above 0 and at most 1"),
        ("auto", ""),
        ("", ""),
    ],
)
def test_both_ends_count(value: str, fault: str) -> None:
    assert Range(lowest=0, above=True, highest=1).fault(value) == fault


@pytest.mark.parametrize(
    ("value", "fault"),
    [("8k", ""), ("8K", ""), ("0k", "must be at least 1, or -1"), ("-1", ""), ("-2", "must be at least 1, or -1")],
)
def test_a_size_is_a_number_and_one_number_may_mean_something_of_its_own(value: str, fault: str) -> None:
    assert Range(lowest=1, also=(-1,)).fault(value) == fault

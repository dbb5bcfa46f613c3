"""Versions and demands, held against ``packaging``."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.requirements import Requirement as Oracle
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from blackstack.audit.pins import parse, requirement

VERSIONS = st.builds(
    "{}{}{}{}{}".format,
    st.lists(st.integers(0, 12), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts))),
    st.sampled_from(["", "", "", "a1", "b2", "rc1"]),
    st.sampled_from(["", "", "", ".post1", ".post3"]),
    st.sampled_from(["", "", "", ".dev20251016"]),
    st.sampled_from(["", "", "+cu128", "+cpu"]),
)
OPERATORS = st.sampled_from(["==", "!=", "<=", ">=", "<", ">"])
ENVIRONMENT = {"python_version": "3.12", "platform_system": "Linux", "sys_platform": "linux", "extra": ""}


@settings(max_examples=80, deadline=None)
@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_packaging_orders_them(one: str, other: str) -> None:
    mine, others = parse(one), parse(other)
    assert mine
    assert others
    oracle, second = (Version(text.partition("+")[0]) for text in (one, other))

    assert (oracle < second) == (mine.key < others.key)
    assert (oracle == second) == (mine.key == others.key)


@settings(max_examples=80, deadline=None)
@given(VERSIONS, OPERATORS, VERSIONS)
def test_demands_hold_as_packaging_says(have: str, operator: str, wanted: str) -> None:
    wanted = wanted if operator in {"==", "!="} else wanted.partition("+")[0]
    demand = requirement(f"torch{operator}{wanted}")
    assert demand

    assert SpecifierSet(f"{operator}{wanted}").contains(have, prereleases=True) == demand.met_by(have)


@pytest.mark.parametrize(
    ("text", "have", "met"),
    [("torch==2.8.0", "2.8.0+cu128", True), ("torch==2.8.0", "2.10.0.dev20251016+cu128", False),
     ("torch==2.8.*", "2.8.1", True), ("torch~=2.8.0", "2.9.0", False), ("torch>=2.10", "2.9.1", False),
     ("torch>2.9a1", "2.9a1.post1", False), ("torch<2.9.post1", "2.9.post1.dev2", False),
     ("torch (>=2.0,<3)", "2.8.0", True), ("torch", "2.8.0", True), ("torch==2.13.0", "2.13.0+cpu", True)],
)  # fmt: skip
def test_what_wheels_really_demand(text: str, have: str, *, met: bool) -> None:
    demand = requirement(text)
    assert demand

    assert met == demand.met_by(have) == Oracle(text).specifier.contains(have, prereleases=True)


@pytest.mark.parametrize(
    "marker",
    ['platform_system == "Linux"', 'extra == "test"', 'python_version < "3.13" and sys_platform != "win32"',
     '(python_version >= "3.9" or extra == "x") and platform_system == "Linux"', '"lin" in sys_platform'],
)  # fmt: skip
def test_markers_are_judged_as_packaging_judges_them(marker: str) -> None:
    demand = requirement(f"x; {marker}")
    assert demand

    assert Marker(marker).evaluate(ENVIRONMENT) == demand.applies(ENVIRONMENT)


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_gives_an_answer(text: str, marker: str) -> None:
    demand = requirement(f"{text}; {marker}")
    if demand:
        demand.applies(ENVIRONMENT)
        demand.met_by(text)


def test_a_demand_for_a_newer_release_is_told_from_one_for_an_older() -> None:
    newer, older, unbound = (requirement(f"torch{text}") for text in (">=2.10", "==2.8.0", ""))
    assert newer
    assert older
    assert unbound

    assert newer.newer_than("2.9.1")
    assert not older.newer_than("2.9.1")
    assert not unbound.newer_than("2.9.1")

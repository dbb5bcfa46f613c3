"""Command line > profile > shell > env/local.env > env/NAME.env > env/common.env > the compose default."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack import catalog
from blackstack.catalog import template
from blackstack.errors import UsageError


def slots(repository: Path, *, set_: str = "", profile: str | None = None, from_shell: str = "") -> tuple[str, str]:
    """Return value and origin of the knob SLOTS."""
    settings = catalog.settle(
        catalog.load(repository, "toy"),
        profile=profile,
        overrides=[f"SLOTS={set_}"] if set_ else [],
        from_shell={"SLOTS": from_shell} if from_shell else {},
    )
    return settings["SLOTS"].value, settings["SLOTS"].origin


def test_the_stronger_layer_wins(repository: Path) -> None:
    (repository / "env/toy.env").write_text("IMAGE=toy:1\nBASE_IMAGE=x\nPORT=8080\nMODE=sane\n")
    assert slots(repository) == ("4", "compose")

    (repository / "env/common.env").write_text("BIND_ADDRESS=127.0.0.1\nSLOTS=5\n")
    assert slots(repository) == ("5", "env/common.env")

    (repository / "env/toy.env").write_text("PORT=8080\nSLOTS=6\n")
    assert slots(repository) == ("6", "env/toy.env")

    (repository / "env/local.env").write_text("SLOTS=7\n")
    assert slots(repository) == ("7", "env/local.env")
    assert slots(repository, from_shell="8") == ("8", "shell")
    assert slots(repository, from_shell="8", profile="wide") == ("16", "--profile wide")
    assert slots(repository, from_shell="8", profile="wide", set_="9") == ("9", "--set")


def test_an_empty_value_counts_as_unset(repository: Path) -> None:
    (repository / "env/local.env").write_text("SLOTS=\n")

    assert slots(repository) == ("4", "env/toy.env")


def test_a_value_of_the_wrong_type_says_where_it_comes_from(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"SLOTS=lots \(shell\): must be a whole number, 1 or more"):
        slots(repository, from_shell="lots")


def test_an_unknown_profile_gets_the_nearest_name(repository: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'wide'"):
        slots(repository, profile="wid")


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("SLOT=3", "did you mean 'SLOTS'"),
        ("SLOTS", "--set takes KEY=VALUE"),
        ("=3", "--set takes KEY=VALUE"),
        ("API_KEY=hush", "may not stand on a command line"),
    ],
)
def test_a_word_of_the_command_line_that_cannot_be_meant_is_refused(repository: Path, word: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        catalog.settle(catalog.load(repository, "toy"), profile=None, overrides=[word], from_shell={})

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("file", ["env/toy.env", "env/local.env", "env/common.env"])
def test_a_slip_of_the_pen_in_an_env_file_is_found(repository: Path, file: str) -> None:
    (repository / file).write_text("\nSLOTTS=3\n")

    with pytest.raises(UsageError, match=rf"{file}:2: SLOTTS is no knob; did you mean SLOTS\?"):
        slots(repository)


def test_a_secret_does_not_show(repository: Path) -> None:
    settings = catalog.settle(
        catalog.load(repository, "toy"), profile=None, overrides=[], from_shell={"API_KEY": "hush-hush"}
    )

    assert settings["API_KEY"].value == "hush-hush"
    assert "hush-hush" not in repr(settings)
    assert settings["API_KEY"].shown == "(set)"


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("${A:-x}", {}, "x"),
        ("${A:-x}", {"A": ""}, "x"),
        ("${A-x}", {"A": ""}, ""),
        ("$A/$B", {"A": "1"}, "1/"),
        ("${A:+yes}", {"A": "1"}, "yes"),
        ("$$A", {"A": "1"}, "$A"),
    ],
)
def test_variables_are_filled_as_compose_fills_them(text: str, values: dict[str, str], expected: str) -> None:
    assert template.fill(text, values) == expected


@given(st.text())
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        list(template.variables(text))
    except ValueError:
        return
    template.fill(text, {})

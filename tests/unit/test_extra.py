"""Words that no knob has reach the server with both runtimes, and profiles of this machine are found by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from blackstack import catalog, plan
from blackstack.catalog.profiles import keep_profile, path_of
from blackstack.catalog.schema import Profile
from blackstack.errors import UsageError
from blackstack.host import Engine, Host
from blackstack.plan import Plan, Wishes
from blackstack.plan.extra import parse


def make(repository: Path, host: Host, **wishes: object) -> Plan:
    """Plan the toy."""
    return plan.make(catalog.load(repository, "toy"), host, Wishes(**wishes), shell_env={})  # type: ignore[arg-type]


def test_extra_is_read_as_a_shell_reads_it() -> None:
    found = parse(["A=1 B='two words' --flag x=y", "--other"])

    assert found.variables == {"A": "1", "B": "two words"}
    assert found.flags == ("--flag", "x=y", "--other")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'open", "cannot be read"),
        ("word --flag", "neither a variable nor a flag"),
        ("--api-key hush", "is a secret"),
        ("--api-key=hush", "is a secret"),
        ("HF_TOKEN=hush", "is a secret"),
        ("OPENAI_API_KEY=hush", "is a secret"),
    ],
)
def test_what_cannot_be_meant_or_must_not_be_typed_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse([text])

    assert "hush" not in str(caught.value)


def test_tokens_are_not_taken_for_secrets() -> None:
    assert parse(["--max-total-tokens 2048 --max-num-batched-tokens=512"]).flags[0] == "--max-total-tokens"


def test_a_process_gets_them_behind_its_command_and_in_its_environment(repository: Path, host: Host) -> None:
    made = make(repository, host, extra=("A=1 --quick yes",))

    assert made.steps[-1].argv[-2:] == ("--quick", "yes")
    assert made.steps[-1].env["A"] == "1"
    assert made.asked_for()["extra"] == {"flags": ["--quick", "yes"], "variables": {"A": "1"}}
    assert made.again() == "inv up --stack toy '--extra=A=1 --quick yes'"


def test_without_any_the_record_is_as_it_always_was(repository: Path, host: Host) -> None:
    assert "extra" not in make(repository, host).asked_for()


def test_a_container_gets_them_through_a_file_laid_over_its_own(repository: Path, host: Host, engine: Engine) -> None:
    made = make(repository, replace(host, engine=engine), extra=("A=$1 --quick $x",))

    start = made.steps[-1]
    ((name, text),) = start.files.items()
    service = json.loads(text)["services"]["server"]
    assert start.argv[2:6] == ("--file", "compose/toy.yaml", "--file", name)
    assert service["command"][:2] == ["--mode", "${MODE:-sane}"]
    assert service["command"][-2:] == ["--quick", "$$x"]
    assert service["environment"] == {"A": "$$1"}


def test_a_profile_of_this_machine_is_found_by_name(repository: Path, host: Host) -> None:
    path = path_of(repository, "toy")
    keep_profile(path, "tuned", Profile(about="found here", set={"SLOTS": "16"}, extra="--quick"))
    keep_profile(path, "ladder", Profile(about="another", set={"SLOTS": 2}))

    made = make(repository, host, profile="tuned", extra=("--more",))

    assert made.settings["SLOTS"].value == "16"
    assert made.steps[-1].argv[-2:] == ("--quick", "--more")
    assert set(made.stack.x.profiles) == {"wide", "tuned", "ladder"}


def test_a_profile_that_is_found_again_takes_the_place_of_the_old_one(repository: Path) -> None:
    path = path_of(repository, "toy")
    for slots in (8, 9):
        keep_profile(path, "tuned", Profile(about="", set={"SLOTS": slots}))

    assert catalog.load(repository, "toy").x.profiles["tuned"].set == {"SLOTS": 9}
    assert [file.name for file in path.parent.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wide: {about: x, set: {}}", "wide is a profile of the stack's own"),
        ("mine: {about: x, set: {SLOT: 1}}", "mine: SLOT=1: is no knob"),
        ("mine: {about: x, set: {SLOTS: many}}", "mine: SLOTS=many: must be a whole number"),
        ("mine: {about: x, sets: {}}", "mine: sets: Extra inputs"),
        ("- a list", "no mapping"),
        ("mine: {", "cannot be used"),
    ],
)
def test_a_broken_file_of_profiles_says_its_faults_and_how_to_do_without(
    repository: Path, text: str, said: str
) -> None:
    path = path_of(repository, "toy")
    path.parent.mkdir(parents=True)
    path.write_text(text)

    with pytest.raises(UsageError, match=r"env/profiles/toy\.yaml cannot be used") as caught:
        catalog.load(repository, "toy")

    assert said in str(caught.value)
    assert "rm env/profiles/toy.yaml" in str(caught.value)

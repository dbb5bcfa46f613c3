"""A stack is one compose file, and every fault in it is said at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from blackstack import catalog
from blackstack.catalog.schema import Knob
from blackstack.errors import UsageError

from .conftest import REPOSITORY


def faults_after(repository: Path, old: str, new: str) -> str:
    """Replace a text in the toy's compose file and return what reading it then says."""
    path = repository / "compose/toy.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError) as caught:
        catalog.load(repository, "toy")
    return str(caught.value)


def test_a_stack_is_read_from_its_file(repository: Path) -> None:
    stack = catalog.load(repository, "toy")

    assert stack.project == "toy"
    assert stack.x.model == "toy-model"
    assert stack.container_port == 8000
    assert stack.defaults["SLOTS"] == "4"
    assert stack.service["command"][-1] == "toy-model"


def test_an_unknown_stack_gets_the_nearest_name(repository: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'toy'") as caught:
        catalog.load(repository, "tooy")

    assert caught.value.exit_code == 2


def test_a_name_never_becomes_a_path(repository: Path) -> None:
    (repository / "evil.yaml").write_text((repository / "compose/toy.yaml").read_text())

    with pytest.raises(UsageError, match="no stack called"):
        catalog.load(repository, "../evil")


def test_a_file_that_does_not_parse_says_where(repository: Path) -> None:
    said = faults_after(repository, "  title: a toy", "  title: a: toy")

    assert "compose/toy.yaml:3: does not parse" in said


@pytest.mark.parametrize("content", [b"\x00", b"\xff\xfe\xff", b"a: [1"])
def test_a_file_that_is_no_yaml_at_all_is_said_and_is_no_crash(repository: Path, content: bytes) -> None:
    (repository / "compose/toy.yaml").write_bytes(content)

    with pytest.raises(UsageError) as caught:
        catalog.load(repository, "toy")

    assert "compose/toy.yaml:1: does not parse" in str(caught.value)


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_one(repository: Path) -> None:
    said = faults_after(repository, "  title: a toy", "  titel: a toy")

    assert "compose/toy.yaml:3: unknown key `titel` in x-stack; did you mean `title`?" in said


def test_every_fault_is_said_at_once(repository: Path) -> None:
    said = faults_after(repository, "status: verified\n", "status: perfect\n  colour: red\n")

    assert "`status`" in said
    assert "unknown key `colour`" in said


def test_an_unknown_key_deep_inside_is_refused(repository: Path) -> None:
    said = faults_after(repository, "needs: {memory_gib: 0.1,", "needs: {memry_gib: 0.1, memory_gib: 0.1,")

    assert "unknown key `needs.memry_gib` in x-stack; did you mean `memory_gib`?" in said


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("${MODE:-sane}", "${MODUS:-sane}", "$MODUS is no knob of x-stack; did you mean MODE?"),
        ("${MODE:-sane}", "${MODE}", "$MODE has no default: the file would not work alone"),
        ("${SLOTS:-4}", "${SLOTS:-many}", "the default of SLOTS is 'many', but must be a whole number, 1 or more"),
        ("${SLOTS:-4}", "${SLOTS:-${MODE}}", "cannot read the variable"),
        ("set: {SLOTS: 16}", "set: {SLOTS: 0}", "profile wide sets SLOTS to '0', but must be a whole number"),
        ("set: {SLOTS: 16}", "set: {SLOT: 16}", "profile wide sets SLOT, which is no knob; did you mean SLOTS?"),
        ("toy/requirements.txt", "toy/requirement.txt", "no such file in this repository"),
        ("dockerfiles/toy/Dockerfile", "../../../etc/passwd", "no such file in this repository"),
        ('--port, "{PORT}"', '--port, "{PROT}"', "PROT of `process` or `build` is no knob; did you mean PORT?"),
        ('--port, "{PORT}"', '--key, "{API_KEY}"', "the secret API_KEY stands on a command line"),
        ('"${MODE:-sane}"', '"${API_KEY:-}"', "the secret API_KEY stands on a command line"),
        ("  server:\n", "  srv:\n", "there is no service 'server'"),
        ("choices: [sane, garbage, hang, die, die-on-first, slow], ", "", "`choices` goes with `type: choice`"),
    ],
)
def test_a_fault_is_said_in_a_sentence(repository: Path, old: str, new: str, sentence: str) -> None:
    assert sentence in faults_after(repository, old, new)


def test_all_stacks_of_this_repository_are_sound() -> None:
    assert "llamacpp-cpu" in [stack.name for stack in catalog.load_all(REPOSITORY)]


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_the_compose_file_and_the_env_file_have_the_same_defaults(name: str) -> None:
    stack = catalog.load(REPOSITORY, name)
    written = {**dotenv_values(REPOSITORY / "env/common.env"), **dotenv_values(REPOSITORY / f"env/{name}.env")}
    in_compose = {key: default for key, default in stack.defaults.items() if default}

    assert in_compose == {key: written.get(key) for key in in_compose}


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_the_engine_s_version_is_the_one_that_the_image_s_tag_names(name: str) -> None:
    stack = catalog.load(REPOSITORY, name)
    tag = stack.defaults["IMAGE"].partition("@")[0].rpartition(":")[2]

    assert stack.x.engine_version is None or stack.x.engine_version in tag


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_every_knob_but_a_secret_has_a_value_to_start_from(name: str) -> None:
    stack = catalog.load(REPOSITORY, name)

    settings = catalog.settle(stack, profile=None, overrides=(), from_shell={})

    open_ones = {key for key, knob in stack.x.knobs.items() if knob.type != "secret"} - set(settings)
    assert not open_ones


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("port", "8080", "65536"),
        ("port", "1", "0"),
        ("port", "80", "+80"),
        ("port", "9541", "９５４１"),  # noqa: RUF001 - digits that only look like ours
        ("count", "1", "0"),
        ("integer", "-3", "3.5"),
        ("number", "1e-3", "fast"),
        ("fraction", "0.9", "1.1"),
        ("address", "::1", "127.0.0.300"),
        ("address", "server-1.local", "a b"),
        ("text", "anything at all", "two\nlines"),
        ("integer", "12", "12 000"),
    ],
)
def test_a_knob_knows_its_type(kind: str, good: str, bad: str) -> None:
    knob = Knob.model_validate({"type": kind, "about": "x"})

    assert not knob.fault(good)
    assert knob.fault(bad).startswith("must be")

"""Words that no knob has reach the server with both runtimes, and profiles of this machine are found by name."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from blackstack import catalog, plan
from blackstack.catalog.profiles import keep_profile, path_of
from blackstack.catalog.schema import Profile
from blackstack.errors import BlackstackError, UsageError
from blackstack.flags import closest
from blackstack.host import Engine, Host
from blackstack.plan import Plan, Wishes
from blackstack.plan.extra import parse
from blackstack.progress import StageClock
from blackstack.runtime.docker import DockerRuntime
from blackstack.shell import Done


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
        ("HUGGING_FACE_HUB_TOKEN=hush", "HUGGING_FACE_HUB_TOKEN is a secret"),
        ("WANDB_TOKEN=hush", "is a secret"),
        ("GITHUB_TOKEN=hush", "is a secret"),
        ("AWS_SECRET_ACCESS_KEY=hush", "is a secret"),
        ("DB_PASSWD=hush", "is a secret"),
        ("--admin-api-key hush", "is a secret"),
        ("--ssl-keyfile-password=hush", "is a secret"),
        ("NOTE=hf_hushhushhushhushhushhush", "the value of NOTE looks like a secret"),
        ("--note sk-hush-0123456789abcdefghij", "the value of --note looks like a secret"),
        ("""--config={"key":"hf_hushhushhushhushhushhush"}""", "the value of --config looks like a secret"),
    ],
)
def test_what_cannot_be_meant_or_must_not_be_typed_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse([text])

    assert "hush" not in str(caught.value)


def test_of_all_that_the_engines_know_only_what_is_secret_is_refused() -> None:
    newest = [known for engine in ("vllm", "sglang", "llamacpp") if (known := closest(engine, None))]
    refused = set()
    for name in {name for known in newest for name in (*known.by_name, *known.variables)}:
        try:
            parse([f"{name}=1"])
        except UsageError:
            refused.add(name)

    assert refused == {
        *("--api-key", "--admin-api-key", "--hf-token", "--ssl-keyfile-password"),
        *("VLLM_API_KEY", "LLAMA_API_KEY", "EXA_API_KEY", "S3_SECRET_ACCESS_KEY", "SGLANG_S3_SECRET_ACCESS_KEY"),
        *("SGLANG_PRECISION_HF_TOKEN", "SGLANG_DIFFUSION_SLACK_TOKEN"),
    }


def test_a_model_s_name_is_not_taken_for_a_secret() -> None:
    assert parse(["--tokenizer hf-internal-testing/tiny-random-gpt2 HF_HUB_ENABLE_HF_TRANSFER=1 --model a/sk-large-v3"])


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


def test_the_file_that_is_laid_over_is_for_its_owner_alone(
    repository: Path, host: Host, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(repository, replace(host, engine=engine), extra=("A=1",))
    ((name, text),) = made.steps[-1].files.items()
    (repository / name).parent.mkdir(parents=True)
    (repository / name).write_text("one that an earlier version left, open to all")
    (repository / name).chmod(0o644)
    monkeypatch.setattr("blackstack.shell.follow", lambda argv, **_: Done(argv=argv, code=0, out=""))
    monkeypatch.setattr(DockerRuntime, "observe", lambda *_: None)

    with pytest.raises(BlackstackError, match="no container"):
        DockerRuntime(repository).start(made, StageClock())

    assert (repository / name).read_text() == text
    assert stat.S_IMODE((repository / name).stat().st_mode) == 0o600


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

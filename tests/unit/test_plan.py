"""The plan is the dry run: what would be done stands in it, and nothing has been done."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from blackstack import catalog, plan
from blackstack.errors import BlockedError, UsageError
from blackstack.host import Engine, Host
from blackstack.plan import Plan, Wishes


def make(repository: Path, host: Host, shell_env: dict[str, str] | None = None, **wishes: object) -> Plan:
    """Plan the toy."""
    return plan.make(
        catalog.load(repository, "toy"),
        host,
        Wishes(**wishes),  # type: ignore[arg-type]
        shell_env=shell_env or {},
    )


def test_without_docker_the_stack_runs_as_a_process(repository: Path, host: Host) -> None:
    made = make(repository, replace(host, no_engine=BlockedError("no", why="there is no socket")))

    assert (made.runtime, made.runtime_why) == ("process", "there is no socket")
    assert [step.kind for step in made.steps] == ["environment", "install", "start"]
    assert made.steps[-1].argv == (
        made.python,
        f"{repository}/dockerfiles/toy/serve.py",
        *("--host", "127.0.0.1", "--port", "8080"),
        *("--mode", "sane", "--slots", "4", "--model", "toy-model"),
    )
    assert made.url == "http://127.0.0.1:8080"


def test_an_engine_that_answers_is_taken(repository: Path, host: Host, engine: Engine) -> None:
    made = make(repository, replace(host, engine=engine))

    assert made.runtime == "docker"
    assert made.steps[-1].argv == (
        *("docker", "compose", "--file", "compose/toy.yaml", "--project-name", "toy"),
        *("up", "--detach", "--no-build", "--pull", "never"),
    )


def test_an_image_that_is_not_here_is_built_first(repository: Path, host: Host, engine: Engine) -> None:
    made = make(repository, replace(host, engine=engine))
    assert [step.kind for step in made.steps] == ["build", "start"]

    made = make(repository, replace(host, engine=replace(engine, images=frozenset({"toy:1"}))))
    assert [step.kind for step in made.steps] == ["start"]


def test_an_image_that_is_not_built_here_is_pulled_first(repository: Path, host: Host, engine: Engine) -> None:
    compose = repository / "compose/toy.yaml"
    compose.write_text(
        compose.read_text()
        .replace("  build: {dockerfile: dockerfiles/toy/Dockerfile, args: [BASE_IMAGE]}\n", "")
        .replace("    BASE_IMAGE: {type: text, about: what it is built on}\n", "")
    )
    (repository / "env/toy.env").write_text("")

    made = make(repository, replace(host, engine=engine))

    assert made.steps[0].argv == ("docker", "pull", "toy:1")


def test_an_image_that_is_pinned_by_digest_is_known_to_be_here(repository: Path, host: Host, engine: Engine) -> None:
    digest = "sha256:" + "a" * 64
    pinned = Wishes(overrides=(f"IMAGE=a/b:1@{digest}",))

    for here, kinds in ((f"a/b@{digest}", ["start"]), ("a/b:1", ["pull", "start"])):
        machine = replace(host, engine=replace(engine, images=frozenset({here})))
        made = plan.make(catalog.load(repository, "toy"), machine, pinned, shell_env={})
        assert [step.kind for step in made.steps] == kinds


def test_an_image_of_somebody_elses_name_is_never_built_over(repository: Path, host: Host, engine: Engine) -> None:
    made = make(repository, replace(host, engine=engine), overrides=("IMAGE=example.org/theirs:1",))

    assert made.steps[0].argv == ("docker", "pull", "example.org/theirs:1")


def test_advice_repeats_what_was_typed(repository: Path, host: Host) -> None:
    made = make(repository, host, runtime="process", profile="wide", overrides=("MODE=sane", "PORT=81"))

    assert made.again("--timeout", "40") == (
        "inv up --stack toy --runtime process --profile wide --set MODE=sane --set PORT=81 --timeout 40"
    )


def test_a_step_shows_only_what_a_person_would_have_to_type(repository: Path, host: Host, engine: Engine) -> None:
    made = make(repository, replace(host, engine=engine), overrides=("SLOTS=8",))

    assert made.steps[-1].typed.startswith("SLOTS=8 docker compose --file compose/toy.yaml")


def test_a_profile_overrules_the_shell_also_inside_compose(repository: Path, host: Host, engine: Engine) -> None:
    made = make(repository, replace(host, engine=engine), {"SLOTS": "2"}, profile="wide")

    assert made.steps[-1].env["SLOTS"] == "16"


@pytest.mark.parametrize("runtime", ["docker", "process"])
def test_a_secret_reaches_the_server_and_is_shown_nowhere(
    repository: Path, host: Host, engine: Engine, runtime: str
) -> None:
    made = make(repository, replace(host, engine=engine), {"API_KEY": "hush-hush"}, runtime=runtime)

    assert "hush-hush" in made.steps[-1].env.values()
    assert "hush-hush" not in repr(made)
    assert "hush-hush" not in str(made.asked_for())
    assert not any("hush-hush" in word for step in made.steps for word in (*step.argv, step.typed))


def test_other_machines_are_let_in_only_with_a_key(repository: Path, host: Host) -> None:
    with pytest.raises(UsageError, match="there is no API_KEY"):
        make(repository, host, overrides=("BIND_ADDRESS=0.0.0.0",))

    made = make(repository, host, {"API_KEY": "k"}, overrides=("BIND_ADDRESS=0.0.0.0",))
    assert made.url == "http://127.0.0.1:8080"


def test_docker_without_an_engine_says_why(repository: Path, host: Host) -> None:
    with pytest.raises(BlockedError, match="no Docker engine"):
        make(repository, replace(host, no_engine=BlockedError("no Docker engine answers")), runtime="docker")


def test_an_unknown_runtime_gets_the_nearest_name(repository: Path, host: Host) -> None:
    with pytest.raises(UsageError, match="did you mean 'docker'"):
        make(repository, host, runtime="doker")


def test_an_interpreter_of_ones_own_needs_no_environment(repository: Path, host: Host) -> None:
    made = make(repository, host, python=sys.executable)

    assert [step.kind for step in made.steps] == ["start"]
    assert made.steps[0].argv[0] == sys.executable


@pytest.mark.parametrize(("name", "why"), [("nowhere", ""), ("", "it is a folder"), ("a-text", "may not be executed")])
def test_an_interpreter_that_is_none_is_said_before_anything_starts(
    repository: Path, host: Host, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "a-text").write_text("no")
    path = str(tmp_path / name)

    with pytest.raises(UsageError, match=f"there is no interpreter {path}") as caught:
        make(repository, host, runtime="process", python=path)

    assert why in str(caught.value)
    assert "next: --python takes the path of a Python" in str(caught.value)


def test_the_environment_is_another_one_when_its_requirements_change(repository: Path, host: Host) -> None:
    before = make(repository, host).environment
    (repository / "dockerfiles/toy/requirements.txt").write_text("something==1.0\n")

    assert make(repository, host).environment != before


def test_what_the_network_needs_goes_into_a_build_as_secrets(
    repository: Path, host: Host, engine: Engine, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    shell_env = {
        "SSL_CERT_FILE": str(bundle),
        "PIP_INDEX_URL": "https://user:hush@mirror.example/simple",
        "https_proxy": "http://proxy.example:3128",
        "PIP_FIND_LINKS": str(tmp_path),
    }

    step = make(repository, replace(host, engine=engine), shell_env).steps_of("build")[0]

    assert f"id=ca,src={bundle}" in step.argv
    assert f"wheels={tmp_path}" in step.argv
    assert "hush" not in step.typed
    assert step.env["BLACKSTACK_BUILD_ENV"].splitlines() == [
        "PIP_INDEX_URL=https://user:hush@mirror.example/simple",
        "HTTPS_PROXY=http://proxy.example:3128",
    ]
    assert "BASE_IMAGE=python:3.12-slim" in step.argv


def test_a_stack_without_requirements_runs_from_an_environment_that_is_there(repository: Path, host: Host) -> None:
    compose = repository / "compose/toy.yaml"
    compose.write_text(
        compose.read_text().replace("    requirements: dockerfiles/toy/requirements.txt\n    pip: [--no-index]\n", "")
    )

    with pytest.raises(UsageError, match="makes no environment of its own") as caught:
        make(repository, host, runtime="process")
    assert "--python PATH" in str(caught.value)

    made = make(repository, host, python=sys.executable)
    assert [step.kind for step in made.steps] == ["start"]
    assert made.steps[-1].argv[0] == sys.executable


def test_the_model_is_the_one_that_the_knob_names(repository: Path, host: Host) -> None:
    assert make(repository, host).model == "toy-model"

    compose, env = repository / "compose/toy.yaml", repository / "env/toy.env"
    knob = "    SERVED_MODEL_NAME: {type: text, about: the name that clients ask for}\n"
    text = compose.read_text().replace("  knobs:\n", f"  knobs:\n{knob}")
    compose.write_text(text.replace("--model, *model]", '--model, "${SERVED_MODEL_NAME:-toy-model}"]'))
    env.write_text(f"{env.read_text()}SERVED_MODEL_NAME=toy-model\n")

    made = make(repository, host, overrides=("SERVED_MODEL_NAME=other",))
    assert made.model == "other"
    assert made.asked_for()["model"] == "other"
    assert made.steps[-1].argv[-1] == "other"


def test_random_weights_make_any_answer_good_enough(repository: Path, host: Host) -> None:
    compose = repository / "compose/toy.yaml"
    compose.write_text(compose.read_text().replace("engine: llamacpp", "engine: vllm"))

    assert not make(repository, host).noise
    noisy = make(repository, host, extra=("--load-format dummy",))
    assert noisy.noise
    assert make(repository, host, extra=("--load-format=dummy",)).noise
    assert noisy.asked_for()["noise"] is True

"""The stacks for GPUs as data: what their files promise, and what their builds are told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from blackstack import catalog, plan
from blackstack.catalog import Stack
from blackstack.errors import UsageError
from blackstack.host import Engine, Host
from blackstack.plan import Wishes
from blackstack.verbs import building

from .conftest import REPOSITORY

STACKS = catalog.load_all(REPOSITORY)
FOR_GPUS = [stack for stack in STACKS if stack.x.needs.compute_capability]
BUILT = [stack for stack in FOR_GPUS if stack.x.build]
SHARED = ("gate.py", "pip.sh")


@pytest.mark.parametrize("stack", FOR_GPUS, ids=lambda stack: stack.name)
def test_the_name_that_clients_ask_for_is_the_one_that_the_server_gets(stack: Stack) -> None:
    assert stack.defaults["SERVED_MODEL_NAME"] == stack.x.model


@pytest.mark.parametrize("stack", FOR_GPUS, ids=lambda stack: stack.name)
def test_a_profile_of_another_image_has_a_folder_of_its_own_for_compiled_kernels(stack: Stack) -> None:
    for name, profile in stack.x.profiles.items():
        assert ("IMAGE" in profile.set) == ("JIT_KEY" in profile.set), name


@pytest.mark.parametrize("stack", BUILT, ids=lambda stack: stack.name)
def test_the_versions_at_the_head_of_a_dockerfile_are_those_of_its_constraints(stack: Stack) -> None:
    assert stack.x.build
    dockerfile = REPOSITORY / stack.x.build.dockerfile
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", dockerfile.with_name("constraints.txt").read_text(), re.MULTILINE))
    asked = dict(re.findall(r"^ARG ([A-Z_]+)_VERSION=(\S+)$", dockerfile.read_text(), re.MULTILINE))
    names = {"FLASHINFER": "flashinfer-python", "SGL_KERNEL": "sgl-kernel"}

    assert len(asked) >= 4
    assert asked.pop("CUDA") == "12.8"
    assert asked == {key: pins[names.get(key, key.lower())] for key in asked}


@pytest.mark.parametrize("name", SHARED)
def test_the_gates_of_all_dockerfiles_are_one(name: str) -> None:
    copies = {path.read_bytes() for path in REPOSITORY.glob(f"dockerfiles/*/{name}")}

    assert len(copies) == 1


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("dockerfiles/*/Dockerfile")), ids=lambda path: path.parent.name)
def test_every_stage_that_serves_says_what_it_is_and_serves_without_words_behind_it(path: Path) -> None:
    stages = re.split(r"^FROM ", path.read_text(), flags=re.MULTILINE)
    serving = [stage for stage in stages if "\nENTRYPOINT " in stage]
    wanted = {"title", "description", "licenses", "version", "revision"}

    assert serving
    for stage in serving:
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', stage))
        assert labels.keys() == wanted
        assert labels["title"] == f"blackstack {path.parent.name}"
        assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")
        assert "\nARG VERSION=" in stage
        assert "\nARG REVISION=" in stage
        assert "\nCMD [" in stage


@pytest.mark.parametrize("stack", BUILT, ids=lambda stack: stack.name)
def test_a_build_is_given_the_audit_that_it_ends_with(stack: Stack, host: Host, engine: Engine) -> None:
    made = plan.make(stack, replace(host, engine=engine), Wishes(), shell_env={})

    (step,) = made.steps_of("build")
    assert "--build-context audit=blackstack/audit" in step.typed
    assert (REPOSITORY / "blackstack/audit/__main__.py").is_file()


def test_another_stage_never_takes_the_name_of_the_stack_s_image(host: Host, engine: Engine) -> None:
    made = plan.make(BUILT[0], replace(host, engine=engine), Wishes(), shell_env={})

    ordered = building.as_ordered(made, host, building.Order(target="from-source", no_cache=True))

    (step,) = ordered.steps
    tag = step.argv[step.argv.index("--tag") + 1]
    assert tag == f"{BUILT[0].defaults['IMAGE']}-from-source"
    assert ordered.image == tag
    assert step.argv[step.argv.index("--target") + 1] == "from-source"
    assert "--no-cache" in step.argv


def test_a_stack_that_only_docker_runs_says_so(host: Host) -> None:
    with pytest.raises(UsageError, match="cannot run without Docker") as caught:
        plan.make(BUILT[0], host, Wishes(runtime="process"), shell_env={})

    assert "inv up --stack llamacpp-cpu" in str(caught.value)


# Both ways to start SGLang, held against a package of its name that writes down what it was started with.
SGLANG = """
import json, pathlib, sys
if __name__ == "__main__":
    from sglang.srt.server_args import ServerArgs
    started = {
        "argv": sys.argv[1:],
        "cmdline": pathlib.Path("/proc/self/cmdline").read_text(),
        "shown": repr(ServerArgs(api_key=sys.argv[-1])),
        "environment": dict(__import__("os").environ),
    }
    print(json.dumps(started))
"""
SERVER_ARGS = """
import dataclasses
@dataclasses.dataclass
class ServerArgs:
    api_key: str
"""
KEY = "a-key-for-this-test"


def start_of(name: str) -> list[str]:
    """Return the command that a stack starts Python with."""
    if name == "sglang-blackwell":
        return [sys.executable, str(REPOSITORY / "dockerfiles" / name / "serve.py")]
    data = YAML(typ="safe").load(REPOSITORY / f"compose/{name}.yaml")
    return [sys.executable, *map(str, data["services"]["server"]["entrypoint"][1:])]


@pytest.mark.parametrize("name", ["sglang-blackwell", "sglang-stable"])
@pytest.mark.parametrize("key", [KEY, ""], ids=["with-a-key", "without"])
def test_the_key_reaches_sglang_and_nobody_else(tmp_path: Path, name: str, key: str) -> None:
    package = tmp_path / "sglang"
    (package / "srt").mkdir(parents=True)
    (package / "launch_server.py").write_text(SGLANG)
    (package / "srt/server_args.py").write_text(SERVER_ARGS)

    done = subprocess.run(
        [*start_of(name), "--model-path", "a/model"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "SGLANG_SERVER_KEY": key},
        capture_output=True,
        text=True,
        check=True,
    )

    told = json.loads(done.stdout)
    assert told["argv"][-2:] == (["--api-key", KEY] if key else ["--model-path", "a/model"])
    assert KEY not in told["cmdline"]
    assert KEY not in told["shown"]
    assert KEY not in json.dumps(told["environment"])

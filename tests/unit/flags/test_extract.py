"""The flags of a wheel are read off the parser that its own code makes; a toy wheel shows how."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from blackstack.flags import extract
from blackstack.flags.known import known_of
from tests.unit.conftest import REPOSITORY

SERVER_ARGS = """
import argparse
import json
import kernels_for_gpus.moe as moe  # not here, and only decorates

@moe.register("x")
def unused(): ...

class Old(moe.Base):
    pass

class DeprecatedAction(argparse.Action):
    def __init__(self, option_strings, dest, nargs=0, **more):
        super().__init__(option_strings, dest, nargs=nargs, **more)

def optional_int(text):
    return None if text == "None" else int(text)

def size(text):
    return int(text.rstrip("k"))

def prepare_server_args(argv):
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add("--model-path", "--model", required=True)
    add("--port", type=int)
    add("--depth", type=optional_int)
    add("--length", type=size)
    add("--fraction", type=float)
    add("--config", type=json.loads)
    add("--backend", choices=["a", "b"])
    add("--eager", action=argparse.BooleanOptionalAction)
    add("--quick", action="store_true")
    add("--path", action="append")
    add("--old", action=DeprecatedAction, help="Use --new.")
    add("--older", action="store_true", help="(Deprecated) it goes")
    add("--lora", nargs="*")
    args = parser.parse_args(argv)
    raise SystemExit("the server would start here")
"""
ENVIRON = "class Envs:\n    SGLANG_PORT = 1\n    helper = 2\n"
OTHER = "import os\nos.getenv('SGLANG_ELSEWHERE')\nprint('SGLANG_PORT and SGLANG_IN_A_SENTENCE are read')\n"


def toy_wheel(folder: Path, server_args: str = SERVER_ARGS) -> Path:
    """Pack a wheel that looks like SGLang's."""
    wheel = folder / "sglang-9.9.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("sglang/__init__.py", "sglang/srt/__init__.py"):
            archive.writestr(name, "")
        archive.writestr("sglang/srt/server_args.py", server_args)
        archive.writestr("sglang/srt/environ.py", ENVIRON)
        archive.writestr("sglang/other.py", OTHER)
        asked = ("torch==2.8.0", "nvidia-cutlass-dsl", "pydantic>=2", "setproctitle; sys_platform == 'linux'")
        more = ('build; extra == "runtime-common"', 'pytest; extra == "test"', 'sglang[x]; extra == "runtime-common"')
        lines = "".join(f"Requires-Dist: {line}\n" for line in (*asked, *more))
        archive.writestr("sglang-9.9.0.dist-info/METADATA", f"Name: sglang\n{lines}\nRequires-Dist: in the text\n")
    return wheel


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the extractor as nox does, alone."""
    script = REPOSITORY / "blackstack/flags/extract.py"
    return subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is extracted from the toy."""
    folder = tmp_path_factory.mktemp("toy")
    done = run(str(toy_wheel(folder)), "--out", str(folder))
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads((folder / "sglang-9.9.0.json").read_text())
    return loaded


def test_each_flag_has_its_names_kind_and_choices(data: dict[str, Any]) -> None:
    by_name = known_of(data).by_name

    kinds = {name: by_name[f"--{name}"].kind for name in ("model", "port", "depth", "length", "fraction", "config")}
    assert kinds == {
        "model": "free",
        "port": "whole",
        "depth": "whole",
        "length": "size",
        "fraction": "number",
        "config": "json",
    }
    assert by_name["--model"].names == ("--model-path", "--model")
    assert by_name["--backend"].choices == ("a", "b")
    assert by_name["--eager"].names == ("--eager", "--no-eager")
    assert by_name["--eager"].nargs == by_name["--quick"].nargs == 0
    assert by_name["--lora"].nargs == "*"
    assert by_name["--path"].repeats
    assert by_name["--depth"].none
    assert not by_name["--port"].none


def test_what_the_engine_calls_deprecated_is_marked(data: dict[str, Any]) -> None:
    marked = {flag.name: flag.deprecated for flag in known_of(data).flags if flag.deprecated}

    assert marked == {"--old": "Use --new.", "--older": "(Deprecated) it goes"}


def test_variables_are_those_of_the_registry_and_those_named_as_a_whole(data: dict[str, Any]) -> None:
    assert data["variables"] == ["SGLANG_PORT"]
    assert data["also_named"] == ["SGLANG_ELSEWHERE"]


def test_what_is_stood_in_for_and_where_it_comes_from_is_said(data: dict[str, Any]) -> None:
    assert data["stood_in"] == ["kernels_for_gpus"]
    assert data["source"].startswith("sglang-9.9.0-py3-none-any.whl sha256:")


def test_a_wheel_whose_parser_cannot_be_made_writes_nothing(tmp_path: Path) -> None:
    done = run(str(toy_wheel(tmp_path, "raise RuntimeError('no device')")), "--out", str(tmp_path))

    assert done.returncode != 0
    assert "no device" in done.stderr
    assert list(tmp_path.glob("*.json")) == []


def test_the_environment_gets_what_the_wheel_asks_for_but_kernels(tmp_path: Path) -> None:
    assert extract.requirements(toy_wheel(tmp_path)) == [
        "pydantic>=2",
        "setproctitle; sys_platform == 'linux'",
        "build",
    ]

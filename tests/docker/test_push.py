"""`inv build --push` against a real registry on loopback (Debian's package docker-registry)."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Shell, copy_checkout, free_port

from .conftest import STACK

CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """An empty registry; its address."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("there is no docker-registry here (Debian: apt-get install docker-registry)")
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(folder=tmp_path / "registry", port=port))
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v2/")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture
def shell(tmp_path: Path, image: str, base_image: str) -> Shell:
    """A checkout in which the default stack's image is built already."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    return Shell(root, env={"IMAGE": image, "BASE_IMAGE": base_image})


def test_an_image_is_pushed_under_the_name_that_was_given(
    shell: Shell, engine: docker.DockerClient, registry: str
) -> None:
    name = f"{registry}/blackstack/toy:1"
    try:
        said = shell.inv("build", "--stack", STACK, "--push", name, timeout=600)

        assert said.code == 0, said.all
        with urllib.request.urlopen(f"http://{registry}/v2/blackstack/toy/tags/list", timeout=10) as answer:
            assert json.load(answer)["tags"] == ["1"]
        assert f"pushed: {registry}/blackstack/toy@sha256:" in said.err
    finally:
        engine.images.remove(name)


def test_a_registry_that_does_not_answer_leaves_the_image_and_no_name(
    shell: Shell, engine: docker.DockerClient
) -> None:
    name = "127.0.0.1:9/blackstack/toy:1"

    said = shell.inv("build", "--stack", STACK, "--push", name, timeout=600)

    assert said.code == 1, said.all
    assert "is built, but could not be pushed" in said.err
    assert engine.images.list(shell.env["IMAGE"])
    assert not engine.images.list(name)


@pytest.mark.parametrize("name", ["toy", "toy:1", "blackstack/toy:1", "registry.example/toy", "Registry.example/TOY:1"])
def test_half_a_name_is_refused_before_anything_is_built(shell: Shell, name: str) -> None:
    said = shell.inv("build", "--stack", STACK, "--push", name)

    assert said.code == 2, said.all
    assert "takes a name with its registry and its tag" in said.err
    assert "+ docker" not in said.err

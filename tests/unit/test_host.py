"""The machine is looked at, and what it lacks is said in a sentence."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from blackstack import host
from blackstack.errors import BlockedError

from .conftest import REPOSITORY


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test look for an engine of its own."""
    host.engine_address.cache_clear()
    host.client.cache_clear()
    yield
    monkeypatch.undo()
    host.engine_address.cache_clear()
    host.client.cache_clear()


def test_a_machine_without_an_engine_is_a_fact_and_no_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")

    machine = host.look(REPOSITORY)

    assert machine.engine is None
    assert machine.no_engine is not None
    assert "there is no socket" in machine.no_engine.why[0]
    assert machine.cores >= 1
    assert machine.memory_bytes > 0


def test_a_socket_behind_which_nobody_answers_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")

    with pytest.raises(BlockedError, match="no Docker engine answers"):
        host.client()


def test_an_engine_that_this_user_may_not_use_is_said_with_the_way_to_be_let_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "s"))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may do everything, so it is asked to deny it

        with pytest.raises(BlockedError, match="may not be used by this user") as caught:
            host.client()

    assert "usermod" in str(caught.value)
    assert "--runtime process" in str(caught.value)


def test_without_a_docker_command_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BlockedError) as caught:
        host.engine_address()

    assert "no `docker` command on PATH" in str(caught.value)

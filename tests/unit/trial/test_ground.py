"""Between two trials nothing may be left: no server, no port, no memory of a GPU."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blackstack import catalog, plan
from blackstack.errors import BlockedError
from blackstack.host import Host
from blackstack.plan import Plan, Wishes
from blackstack.trial.ground import Ground


@pytest.fixture
def free_port() -> int:
    """A port that is free."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture
def made(repository: Path, host: Host, free_port: int) -> Plan:
    """The toy's plan."""
    wishes = Wishes(python=sys.executable, overrides=(f"PORT={free_port}",))
    return plan.make(catalog.load(repository, "toy"), host, wishes, shell_env={})


def readings(*levels: int) -> Iterator[list[int]]:
    """Yield what a GPU holds, one reading after the other; the last one stays."""
    yield from ([level] for level in levels)
    while True:
        yield [levels[-1]]


def test_memory_that_comes_back_late_is_waited_for(made: Plan) -> None:
    levels = readings(500, 21_000, 9_000, 540)

    Ground.look(lambda: next(levels)).demand_clean(made, wait_s=20)


def test_memory_that_does_not_come_back_ends_the_run(made: Plan) -> None:
    levels = readings(500, 21_000)

    with pytest.raises(BlockedError, match="not clean") as caught:
        Ground.look(lambda: next(levels)).demand_clean(made, wait_s=0)

    assert "GPU 0 holds 21000 MiB, where it held 500" in str(caught.value)


def test_a_gpu_that_does_not_answer_any_more_is_not_clean(made: Plan) -> None:
    answers: Iterator[list[int | None] | None] = iter([[None, 500], [None, None], None, [None, 510]])
    ground = Ground.look(lambda: next(answers))

    assert "GPU 1 held 500 MiB before the first trial, and does not answer" in ground.dirt(made)
    assert "GPU 1 held 500 MiB" in ground.dirt(made)
    assert ground.dirt(made) == ""


def test_a_port_that_is_still_taken_is_not_clean(made: Plan) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", made.port))
        other.listen()

        assert "is taken by" in Ground.look(lambda: None).dirt(made)
    assert Ground.look(lambda: None).dirt(made) == ""


def test_without_a_gpu_it_is_said_that_none_was_checked() -> None:
    assert "none is checked" in Ground.look(lambda: None).checked
    assert "is given back" in Ground.look(lambda: [500]).checked

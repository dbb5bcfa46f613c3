"""A start is followed through its stages, and whoever watches is told what is slow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from blackstack import ready
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError
from blackstack.progress import Pace, Paced, StageClock, paced
from blackstack.runtime.base import Running, State
from simulator import Behaviour, Simulator

LOG = (
    "Initializing a V1 LLM engine (simulated) with config: model='x'",
    "Starting to load model x...",
    "Model loading took 1 GiB and 1.0 seconds",
    "GPU KV cache size: 46,592 tokens",
    "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE)",
    "INFO:     Application startup complete.",
)


@dataclass
class Watcher(StageClock):
    """Remembers what it was told, and says when it was told a note."""

    stages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    noted: threading.Event = field(default_factory=threading.Event)

    def stage(self, name: str) -> None:
        """Remember."""
        super().stage(name)
        self.stages.append(name)

    def note(self, text: str) -> None:
        """Remember."""
        self.notes.append(text)
        self.noted.set()


class Engine:
    """A process that says one line more each time that it is looked at."""

    def __init__(self, url: str, log: Sequence[str] = LOG, *, ends_after: int | None = None) -> None:
        self.url, self.log, self.said, self.ends_after = url, log, 0, ends_after

    def tail(self, count: int) -> list[str]:
        """Say one line more."""
        self.said = min(self.said + 1, len(self.log) if self.ends_after is None else self.ends_after)
        return list(self.log[: self.said][-count:])

    def observe(self) -> Running:
        """Live until the last line."""
        ended = self.ends_after is not None and self.said >= self.ends_after
        state: State = "exited" if ended else "running"
        return Running(
            stack="x", runtime="x", state=state, url=self.url, identity="x", exit_code=-11 if ended else None
        )

    def wait(self, timeout: float = 20) -> ready.Wait:
        """Return the wait for it."""
        return ready.Wait(
            url=self.url,
            model="simulated",
            engine=ENGINES["simulator"],
            timeout=timeout,
            observe=self.observe,
            tail=self.tail,
            again="inv up",
        )


def test_a_server_that_is_up_has_one_stage() -> None:
    watcher = Watcher()
    with Simulator(Behaviour()) as server:
        answer = ready.until_ready(Engine(server.url).wait(), watcher)

    assert list(answer.seconds) == watcher.stages == ["first-completion"]


def test_the_stages_are_followed_and_an_end_is_said_with_the_one_in_which_it_came() -> None:
    watcher = Watcher()

    with pytest.raises(ready.ServerExitedError) as caught:
        ready.until_ready(Engine("http://127.0.0.1:9", ends_after=4).wait(), watcher)

    assert watcher.stages == ["import", "weights", "compile", "kv-cache"]
    assert caught.value.stage == "kv-cache"
    assert "«kv-cache» (reserving the KV cache): signal 11 (SIGSEGV)" in str(caught.value)


def test_a_timeout_names_the_stage_and_what_it_has_meant() -> None:
    with pytest.raises(ready.NotReadyError) as caught:
        ready.until_ready(Engine("http://127.0.0.1:9", LOG[:2]).wait(timeout=4), StageClock())

    assert caught.value.code == "not-ready-in-time"
    assert "still at stage «weights»" in str(caught.value)
    assert "slow disk" in str(caught.value)


def test_random_weights_may_say_anything() -> None:
    with Simulator(Behaviour(faults={"garbage": 1})) as server:
        noisy = replace(Engine(server.url, LOG).wait(timeout=30), noise=True)

        assert ready.until_ready(noisy, StageClock()).answer


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour(hang_at=1), "hung-behind-health"),
        (Behaviour(faults={"garbage": 1}), "garbage-output"),
        (Behaviour(faults={"sse_error": 1}), "answers-with-errors"),
        (Behaviour(faults={"malformed": 1}), "answers-with-errors"),
        (Behaviour(faults={"empty": 1}), "garbage-output"),
        (Behaviour(unhealthy=True), "not-ready-in-time"),
    ],
)
def test_each_way_not_to_answer_has_its_code(behaviour: Behaviour, code: str) -> None:
    patience = 1 if behaviour.hang_at or behaviour.unhealthy else 30  # nobody is kept waiting by what answers
    with Simulator(behaviour) as server, pytest.raises(BlackstackError) as caught:
        ready.until_ready(Engine(server.url).wait(timeout=patience), StageClock())

    assert caught.value.code == code


def test_a_stage_over_its_budget_is_said_once_with_its_last_lines() -> None:
    watcher = Watcher()
    paces = {"weights": Pace(seconds=0.05, doing="loading the weights", slow="a slow disk")}

    with paced(watcher, paces) as progress:
        progress.stage("import")
        progress.stage("weights")
        progress.line("Starting to load model x...")
        assert watcher.noted.wait(10)
        progress.finish()

    (note,) = watcher.notes
    assert "slow: «weights» (loading the weights) has taken 0.05 s; this has meant: a slow disk" in note
    assert "| Starting to load model x..." in note
    assert progress.over == ["weights"]
    assert list(progress.seconds) == ["import", "weights"]


def test_a_stage_that_ends_in_time_is_not_called_slow() -> None:
    watcher = Watcher()
    with paced(watcher, {"weights": Pace(seconds=60, doing="x", slow="x")}) as progress:
        progress.stage("weights")
        timer = progress.timer
        progress.stage("compile")

    assert timer is not None
    timer.join(10)
    assert not timer.is_alive()
    assert not watcher.notes


def test_a_warning_that_comes_too_late_is_swallowed() -> None:
    watcher = Watcher()
    progress = Paced(shown=watcher)
    progress.stage("compile")

    progress._slow("weights", Pace(seconds=1, doing="x", slow="x"))

    assert not watcher.notes

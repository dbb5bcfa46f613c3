"""A real server of a few lines, brought up in every way that goes wrong: each is a trial, none leaves a process."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from blackstack import catalog, plan
from blackstack.bench import Target, Workload
from blackstack.diagnose import diagnose
from blackstack.host import Host
from blackstack.plan import Wishes
from blackstack.progress import Progress, StageClock
from blackstack.trial.attempt import NO_ROOT, Probe, _explained, attempt, short_probe
from blackstack.trial.cell import Cell, Evidence, Quality, Seen, Trial
from blackstack.trial.tune import growing_probe
from simulator import Behaviour, Simulator

GOOD = Seen(rates=(100.0, 102.0), e2e_ms=(10.0, 9.8), quality=Quality(asked=5, right=4, degenerate=0), of=4)
Try = Callable[..., Trial]


def well(_target: Target, _progress: Progress) -> Seen:
    """Measure, and find nothing wrong."""
    return GOOD


@pytest.fixture
def attempted(repository: Path, host: Host) -> Iterator[Try]:
    """Tries the toy with some wishes, and at the end looks whether anything of it is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def go(
        *overrides: str,
        extra: tuple[str, ...] = (),
        probe: Probe = well,
        evidence: tuple[Evidence, ...] = (),
        timeout: float | None = None,
    ) -> Trial:
        wishes = Wishes(python=sys.executable, overrides=(f"PORT={port}", *overrides), extra=extra)
        cell = Cell(label="a cell", stack="toy", wishes=wishes, evidence=evidence)
        made = plan.make(catalog.load(repository, "toy"), host, wishes, shell_env={})
        return attempt(cell, made, host, probe, StageClock(), timeout=timeout)

    yield go
    left = [p for p in psutil.process_iter(["cmdline"]) if str(repository) in " ".join(p.info["cmdline"] or [])]
    for process in left:
        process.kill()
    assert left == []


def test_what_works_is_measured_and_recorded(attempted: Try) -> None:
    found = attempted("SLOTS=2")

    assert (found.outcome, found.seen, found.why) == ("works", GOOD, "")
    assert found.load_s
    assert found.load_s > 0
    assert found.peak_memory_bytes
    assert found.peak_memory_bytes > 1 << 20
    assert found.asked_for["overrides"]["SLOTS"] == "2"
    assert found.found_inside["engine"]["version"] == "toy 1"


def test_a_server_that_dies_as_it_loads_has_crashed_and_its_last_words_are_kept(attempted: Try) -> None:
    found = attempted("MODE=die")

    assert (found.outcome, found.why) == ("crashed", "RuntimeError: the toy is broken")
    assert found.lines[-1] == "RuntimeError: the toy is broken"


def test_a_server_that_dies_on_its_first_request_has_crashed_for_a_named_cause(attempted: Try) -> None:
    found = attempted("MODE=die-on-first")

    assert (found.outcome, found.code) == ("crashed", "native-abort")


def test_a_flag_that_the_server_does_not_know_is_a_refusal(attempted: Try) -> None:
    found = attempted(extra=("--attention-backend FLASHINFER",))

    assert (found.outcome, found.code) == ("refused", "cli-unrecognized-argument")


def test_garbage_is_a_wrong_answer(attempted: Try) -> None:
    assert attempted("MODE=garbage").outcome == "wrong answers"


def test_a_server_that_never_answers_is_too_late(attempted: Try) -> None:
    found = attempted("MODE=slow", timeout=1.0)

    assert (found.outcome, found.code) == ("too late", "")
    assert found.why.startswith("no answer within 1 s; it was still at stage «import»")


def test_a_plan_that_is_blocked_is_a_refusal_and_nothing_is_started(attempted: Try) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        found = attempted(f"PORT={other.getsockname()[1]}")

    assert found.outcome == "refused"
    assert "is taken by" in found.why


def test_a_server_that_dies_while_it_is_measured_has_crashed(attempted: Try) -> None:
    def kill(target: Target, _progress: Progress) -> Seen:
        connection = next(
            c for c in psutil.net_connections("tcp") if c.laddr and c.laddr[1] == target.address.port and c.pid
        )
        victim = psutil.Process(connection.pid)
        victim.send_signal(signal.SIGSEGV)
        psutil.wait_procs([victim], timeout=10)
        return replace(GOOD, failed=4, of=4)

    found = attempted(probe=kill)

    assert (found.outcome, found.code) == ("crashed", "native-segfault")


def test_requests_that_fail_are_an_outcome_of_their_own(attempted: Try) -> None:
    found = attempted(probe=lambda _target, _progress: replace(GOOD, failed=1, of=4))

    assert (found.outcome, found.why) == ("requests failed", "1 of 4 requests failed")


def test_degenerate_answers_are_wrong_answers(attempted: Try) -> None:
    bad = replace(GOOD, quality=Quality(asked=5, right=0, degenerate=2))

    assert attempted(probe=lambda _target, _progress: bad).outcome == "wrong answers"


def test_another_backend_than_the_one_asked_for_does_not_count_as_it(attempted: Try) -> None:
    seen = (r"loading the (\w+)",)

    assert attempted(evidence=(Evidence(asked="toy", seen=seen),)).outcome == "works"
    other = attempted(evidence=(Evidence(asked="FLASHINFER", seen=seen),))
    assert (other.outcome, other.used) == ("other backend", "toy")
    assert other.why == "asked for FLASHINFER, and its log shows toy"
    unsaid = attempted(evidence=(Evidence(asked="FLASHINFER", seen=(r"never (said)",)),))
    assert (unsaid.outcome, unsaid.used) == ("works", "")


def test_of_two_things_that_are_switched_both_must_be_seen(attempted: Try) -> None:
    toy, off = Evidence(asked="toy", seen=(r"loading the (\w+)",)), Evidence(asked="off", seen=(r"loading the (\w+)",))

    found = attempted(evidence=(toy, off))

    assert (found.outcome, found.asked, found.used) == ("other backend", "toy, off", "toy, toy")
    assert found.why == "asked for off, and its log shows toy"


def test_a_mistake_of_ours_costs_one_cell_and_leaves_nothing(attempted: Try) -> None:
    def broken(_target: Target, _progress: Progress) -> Seen:
        raise KeyError("no such key")

    found = attempted(probe=broken)

    assert found.outcome == "crashed"
    assert found.why.startswith("our mistake: KeyError")


def test_of_a_death_that_no_signature_explains_the_first_exception_is_told() -> None:
    at = "ERROR 11-21 08:07:46 [multiproc_executor.py:1063]"
    log = [  # as vLLM 0.32 prints one
        "(APIServer pid=1) WARNING [system_utils.py:255] This can cause errors like `OSError: [Errno 24]`",
        f"(Worker pid=3) {at}     raise NotImplementedError(",
        f"(Worker pid=3) {at} NotImplementedError: the frobnicator of this card was never written.",
        "(EngineCore pid=2) ERROR 11-21 08:07:46 [core.py:1510] RuntimeError: Worker failed with 'the frobnicator'",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}",
    ]
    trial = Trial(label="", stack="", about="", outcome="crashed")

    found = _explained(trial, diagnose(log), log)

    assert found.code == NO_ROOT
    assert found.why == "NotImplementedError: the frobnicator of this card was never written."


def test_ctrl_c_in_the_middle_takes_the_server_down_and_goes_on(attempted: Try) -> None:
    def interrupted(_target: Target, _progress: Progress) -> Seen:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempted(probe=interrupted)


LOAD = Workload(requests=3, repeats=2, warmup=1, output_tokens=4, concurrency=(3,))


def test_the_first_load_of_a_server_that_has_just_started_is_in_no_figure() -> None:
    growing = growing_probe(replace(LOAD, repeats=1), "throughput", lambda _repeats, _score: False)
    with Simulator() as first, Simulator() as second:
        seen = short_probe(LOAD)(Target(url=first.url), StageClock())
        grown = growing(Target(url=second.url), StageClock())

    assert (len(first.served), seen.of, len(seen.rates)) == (3 + 2 * (1 + 3), 2 * 3, 2)
    assert (len(second.served), grown.of, len(grown.rates)) == (3 + 4 * (1 + 3), 4 * 3, 4)


def test_a_server_that_fails_in_its_first_load_is_not_measured_further() -> None:
    with Simulator(Behaviour(faults={"malformed": 1})) as server:
        seen = short_probe(LOAD)(Target(url=server.url), StageClock())

    assert (seen.failed, seen.of, seen.rates) == (3, 3, ())

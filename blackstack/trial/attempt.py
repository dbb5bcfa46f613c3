"""One cell: up, proved, measured, down. Whatever happens, it ends in a trial and nothing is left running."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from blackstack import aftermath, doctor, inside, ready, serving
from blackstack.bench import Measurement, Target, Workload, measure
from blackstack.diagnose.redact import Redactor
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.finding import Finding
from blackstack.host import Host
from blackstack.interrupt import Interruption, undisturbed
from blackstack.plan import Plan
from blackstack.progress import Progress, paced
from blackstack.runtime import state
from blackstack.runtime.base import Running, Runtime
from blackstack.trial.cell import Cell, Evidence, Outcome, Quality, Seen, Trial

KEPT_LINES = 30  # of the log of a trial that does not work

# What an engine says when it will not do what it was asked, before it has loaded anything; the codes are those of
# blackstack/diagnose/signatures.yaml, and a test holds them against it.
REFUSALS = frozenset(
    {
        "cli-unrecognized-argument",
        "cli-invalid-choice",
        "attn-backend-rejects-sinks",
        "attn-backend-unsupported-by-layer",
        "fa3-required-for-sinks",
        "fa4-unsupported-on-sm12x",
        "quant-dtype-unsupported",
        "quantization-mismatch",
        "kernel-not-implemented-blackwell",
    }
)

NO_ROOT = "engine-core-failed-no-root-cause"  # what the parent says of its child's end; the child's words are better
_RAISED = re.compile(r"(?:^|\] )((?:\w+\.)*\w+(?:Error|Exception): .{1,200})")  # of several, the first is the cause

Probe = Callable[[Target, Progress], Seen]
"""Measures a server that is up."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that is up, for as long as somebody measures it."""

    made: Plan
    runtime: Runtime
    running: Running
    load_s: float

    @property
    def target(self) -> Target:
        """Where it is measured."""
        return Target(url=self.running.url, model=self.made.model, api_key=self.made.api_key, noise=self.made.noise)


def attempt(
    cell: Cell, made: Plan, machine: Host, probe: Probe, progress: Progress, *, timeout: float | None = None
) -> Trial:
    """Try a cell.

    Ctrl-C takes the server down and goes on as KeyboardInterrupt; every other end is a trial.

    Args:
        cell: what is tried.
        made: its plan.
        machine: the host that the plan was made for.
        probe: measures the server.
        progress: is told the stages.
        timeout: seconds until it must have answered; None: the stack's own.
    """
    began = time.monotonic()
    trial = Trial(label=cell.label, stack=cell.stack, about=cell.about, outcome="works", asked_for=made.asked_for())
    runtime = serving.runtime_of(made)
    try:
        doctor.refuse_if_blocked(made, machine)
        with serve(made, progress, timeout=timeout) as server:
            trial = replace(trial, load_s=round(server.load_s, 3))
            trial = _with_evidence(trial, cell.evidence, aftermath.log_of(runtime, made.stack))
            found = inside.found(made.stack, runtime, server.running, {}, server.target)
            trial = replace(trial, found_inside=found)
            seen = probe(server.target, progress)
            progress.stage("look inside")
            peak = runtime.peak_memory(made.stack)
            trial = replace(trial, seen=seen, peak_memory_bytes=peak)
            alive = runtime.observe(made.stack)
            trial = _judged(trial, alive, runtime, made)
    except BlackstackError as error:
        trial = _failed(trial, error, aftermath.log_of(runtime, made.stack))
    except Exception as error:  # noqa: BLE001 - a mistake of ours in one cell must not cost the others
        why = f"our mistake: {type(error).__name__}: {error}"
        lines = tuple(traceback.format_exc().splitlines()[-KEPT_LINES:])
        trial = replace(trial, outcome="crashed", why=why, lines=lines, again=True)
    return replace(trial, seconds=round(time.monotonic() - began, 1))


@contextmanager
def serve(made: Plan, progress: Progress, *, timeout: float | None = None) -> Iterator[Server]:
    """Bring a plan up for as long as the block lasts, and take it down whatever happens in it."""
    runtime, note = serving.runtime_of(made), state.folder(made.stack.root, made.stack.name) / state.UP
    with (
        state.locked(note.with_name("up.lock"), doing=f"bring {made.stack.name} up or down"),
        paced(progress, serving.paces()) as clock,
    ):
        answer = serving.start(made, clock, timeout, Interruption())
        try:
            running = runtime.observe(made.stack)
            if running is None or running.state != "running":
                raise BlackstackError("the server ended right after its first answer")
            load_s = clock.seconds.get("create", 0.0) + sum(answer.seconds.values())
            yield Server(made=made, runtime=runtime, running=running, load_s=load_s)
        finally:
            with undisturbed():
                runtime.stop(made.stack, progress)
                note.unlink(missing_ok=True)
                progress.finish()


def short_probe(workload: Workload) -> Probe:
    """Return the probe that puts one workload on the server, after one that does not count."""

    def probe(target: Target, progress: Progress) -> Seen:
        if failed := warm_up(target, workload, progress):
            return failed
        progress.stage("measure")
        return seen_in(measure(target, workload, progress=progress.line))

    return probe


def warm_up(target: Target, workload: Workload, progress: Progress) -> Seen | None:
    """Put the load on a server that has just started, so that what it compiles at first use is in no figure.

    Returns:
        None; or what was seen where a request failed, and then there is nothing more to measure.
    """
    progress.stage("warm up")
    once = replace(workload, repeats=1, warmup=0, quality=False)
    seen = seen_in(measure(target, once, progress=progress.line))
    return seen if seen.failed else None


def seen_in(measured: Measurement) -> Seen:
    """Return what of a measurement a trial keeps; its first concurrency is the one that counts."""
    told = measured.as_dict()
    runs = [run for run in told["runs"] if run["concurrency"] == told["runs"][0]["concurrency"]]
    quality = told["found"].get("quality")
    gpus = [
        card["memory_used_mib"]["max"]
        for run in runs
        for card in run["surroundings"]["gpu"]
        if "memory_used_mib" in card
    ]
    return Seen(
        rates=tuple(run["output_tokens_per_s"] for run in runs if run["ok"]),
        e2e_ms=tuple(run["e2e_ms"]["mean"] for run in runs if run["ok"]),
        ttft_ms=tuple(run["ttft_ms"]["p50"] for run in runs if run["ok"]),
        failed=sum(sum(run["failures"].values()) for run in runs),
        of=sum(run["requests"] for run in runs),
        quality=Quality(**{key: quality[key] for key in ("asked", "right", "degenerate")}) if quality else None,
        gpu_mib=max(gpus, default=None),
    )


def used_in(evidence: Evidence, log: Sequence[str]) -> str:
    """Return the name that a log shows; empty where it shows none."""
    text = "\n".join(log)
    hits = [match for pattern in evidence.seen for match in re.finditer(pattern, text)]
    if not hits:
        return evidence.otherwise
    name = max(hits, key=lambda match: match.start())[1]
    return evidence.names.get(name, name)


def _with_evidence(trial: Trial, evidence: Sequence[Evidence], log: Sequence[str]) -> Trial:
    found = [(one.asked or "", used_in(one, log)) for one in evidence]
    trial = replace(trial, asked=_listed(asked for asked, _ in found), used=_listed(used for _, used in found))
    unlike = [(asked, used) for asked, used in found if asked and used and used != asked]
    why = "; ".join(f"asked for {asked}, and its log shows {used}" for asked, used in unlike)
    return replace(trial, outcome="other backend", why=why) if unlike else trial


def _listed(names: Iterable[str]) -> str:
    return ", ".join(filter(None, names))


def _judged(trial: Trial, alive: Running | None, runtime: Runtime, made: Plan) -> Trial:
    """Return the trial with what the measurement says against it; answers weigh more than anything else."""
    seen, log = trial.seen, aftermath.log_of(runtime, made.stack)
    if alive is None or alive.state != "running" or alive.restarts:
        how = alive.ended if alive else "its process is gone"
        found = aftermath.causes(log, aftermath.facts_now(runtime, made.stack, alive, "measure"))
        return _explained(replace(trial, outcome="crashed", why=f"it ended while it was measured: {how}"), found, log)
    if seen.failed:
        return replace(
            trial, outcome="requests failed", why=f"{seen.failed} of {seen.of} requests failed", lines=_end_of(log)
        )
    if not made.noise and seen.quality and (wrong := seen.quality.wrong(None)):
        return replace(trial, outcome="wrong answers", why=wrong)
    if seen.stopped:
        return replace(trial, outcome="stopped early", why=seen.stopped)
    return trial


def _failed(trial: Trial, error: BlackstackError, log: Sequence[str]) -> Trial:
    """Return the trial of a cell that did not come to its end."""
    outcome: Outcome = "crashed"
    if isinstance(error, UsageError | BlockedError):
        outcome = "refused"
    elif isinstance(error, ready.NotReadyError):
        outcome = "wrong answers" if error.code == "garbage-output" else "too late"
    # Of one that was late the log ends with our own stopping it, which would be taken for the cause.
    found = error.findings if outcome == "crashed" else ()
    again = isinstance(error, BlockedError)
    return _explained(replace(trial, outcome=outcome, why=error.what, again=again), found, log)


def _explained(trial: Trial, findings: Sequence[Finding], log: Sequence[str]) -> Trial:
    trial = replace(trial, lines=_end_of(log) if trial.outcome != "refused" else ())
    first = next((finding for finding in findings if finding.code != NO_ROOT), None)
    if first:
        outcome: Outcome = "refused" if first.code in REFUSALS else trial.outcome
        return replace(trial, outcome=outcome, code=first.code, why=first.title)
    raised = next((match[1] for line in log if (match := _RAISED.search(line))), "")
    code = findings[0].code if findings else ""
    return replace(trial, code=code, why=raised if raised and trial.outcome == "crashed" else trial.why)


def _end_of(log: Sequence[str]) -> tuple[str, ...]:
    redact = Redactor()  # a record is shown to others
    return tuple(redact(line[:300]) for line in log[-KEPT_LINES:])

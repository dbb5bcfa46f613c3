"""Broken: why requests failed while a server was measured; the cause is named where the server is one of ours."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from blackstack import aftermath
from blackstack.errors import BlackstackError, BlockedError
from blackstack.runtime.base import Running
from blackstack.verbs.choose import Found

SETTLED_S: Final = 3.0  # a dying server closes its sockets before its process is gone: a core dump takes a while
LOOK_S: Final = 0.1
LOST: Final = frozenset({"connect", "cut"})  # failures after which a server may be dead

# What each failure is called when it is seen from outside of a server that lives; of diagnose/signatures.yaml.
SEEN: Final = {
    "connect": "answers-with-errors",
    "http": "answers-with-errors",
    "sse_error": "answers-with-errors",
    "cut": "answers-with-errors",
    "timeout": "hung-behind-health",
    "garbage": "garbage-output",
}


def failure(runs: Sequence[Mapping[str, Any]], url: str, found: Found | None) -> BlackstackError | None:
    """Return the error that the failed requests of some runs amount to; None where none failed.

    Args:
        runs: of a record.
        url: where they were sent.
        found: the server, where it is one of ours: then its remains are looked at.
    """
    failures = Counter[str]()
    for run in runs:
        failures.update({kind: count for kind, count in run["failures"].items() if count})
    if not failures:
        return None
    good, given_up = sum(run["ok"] for run in runs), next((run["given_up"] for run in runs if run["given_up"]), None)
    classes = ", ".join(f"{count} {kind}" for kind, count in failures.most_common())
    why = [f"answered: {good}, failed: {failures.total()}: {classes}"]
    if given_up:
        left = f"; {given_up['not_sent']} more were not sent" if given_up["not_sent"] else ""
        why.insert(0, f"{given_up['why']}{left}")
    kind = failures.most_common(1)[0][0]
    if found is not None:
        return _of_ours(found, why, kind, lost=bool(LOST & set(failures)), given_up=bool(given_up))
    return _of_another(url, why, kind, given_up=bool(given_up))


@contextlib.contextmanager
def explained(found: Found | None) -> Iterator[None]:
    """Name the cause where a server of ours cannot be measured at all: it died, or hangs."""
    try:
        yield
    except BlockedError as error:
        if found is None:
            raise
        running = _settled(found)
        _name_the_cause(error, found, running, "" if _dead(found, running) else "hung-behind-health")
        if _dead(found, running):
            error.what = f"{found.stack.name} has died"
        raise


def _of_ours(found: Found, why: list[str], kind: str, *, lost: bool, given_up: bool) -> BlackstackError:
    name = found.stack.name
    running = _settled(found) if lost else found.runtime.observe(found.stack)
    if _dead(found, running):
        how = running.ended if running and running.state != "running" else "it was started again meanwhile"
        error = BlackstackError(f"{name} died while it was measured", why=[how if running else "it is gone", *why])
        _name_the_cause(error, found, running, "")
        return error
    what = f"{name} hangs" if given_up and kind == "timeout" else f"{name}: requests failed"
    error = BlackstackError(what, why=why, fix=f"inv logs --stack {name}")
    _name_the_cause(error, found, running, SEEN.get(kind, ""))
    return error


def _of_another(url: str, why: list[str], kind: str, *, given_up: bool) -> BlackstackError:
    if not given_up:
        return BlackstackError(f"requests to {url} failed", why=why)
    if kind == "timeout":
        return BlackstackError(f"the server at {url} hangs", why=why, fix=f"inv watch --url {url}")
    return BlackstackError(
        f"the server at {url} is gone",
        why=why,
        fix=["look at the end of its log, and how its process or container ended", f"inv watch --url {url}"],
    )


def _name_the_cause(error: BlackstackError, found: Found, running: Running | None, outside: str) -> None:
    facts = aftermath.facts_now(found.runtime, found.stack, running, outside=outside)
    aftermath.name_the_cause(error, aftermath.causes(aftermath.log_of(found.runtime, found.stack), facts))
    error.fix = (*error.fix, f"inv diagnose --stack {found.stack.name}")


def _settled(found: Found) -> Running | None:
    """Return the server as it is once its end would be seen, if it has ended."""
    until = time.monotonic() + SETTLED_S
    while True:
        running = found.runtime.observe(found.stack)
        if _dead(found, running) or time.monotonic() > until:
            return running
        time.sleep(LOOK_S)


def _dead(found: Found, running: Running | None) -> bool:
    return running is None or running.state != "running" or running.restarts > found.running.restarts

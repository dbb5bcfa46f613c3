"""Looks before anything starts: a plan held against the machine. A check returns what is wrong, or nothing."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Iterator

import psutil

from blackstack import change
from blackstack.errors import BlockedError
from blackstack.finding import Finding
from blackstack.host import Host
from blackstack.plan import Plan

GIB = 1 << 30
_NEXT_PORTS = 200


def findings(plan: Plan, host: Host) -> Iterator[Finding]:
    """Yield what will keep the plan from working, or may."""
    for check in CHECKS:
        finding = check(plan, host)
        if finding:
            yield finding


def refuse_if_blocked(plan: Plan, host: Host) -> tuple[Finding, ...]:
    """Return the warnings.

    Raises:
        BlockedError: something is certain to fail.
    """
    found = tuple(findings(plan, host))
    for finding in found:
        if finding.severity == "error":
            raise BlockedError(finding.title, why=[*finding.evidence, finding.cause], fix=finding.fix)
    return found


def check_port(plan: Plan, _host: Host) -> Finding | None:
    """The port must be free: the engine would find out only after it has loaded its weights."""
    try:
        _bind(plan.bind, plan.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(
                code="port-taken",
                severity="error",
                title=f"port {plan.port} is taken by {holder(plan.port)}",
                fix=(plan.again("--set", f"PORT={next_free(plan.bind, plan.port)}"),),
                verify=f"ss --listening --tcp --numeric 'sport = :{plan.port}'",
            )
        return Finding(
            code="address-unusable",
            severity="error",
            title=f"cannot listen on {plan.bind}:{plan.port}",
            cause=error.strerror or str(error),
            fix=("an address of this machine: ip -brief address", "a port above 1023, or root"),
        )
    return None


def check_disk(plan: Plan, host: Host) -> Finding | None:
    """What is still to be fetched or built needs room."""
    needed = plan.stack.x.needs.disk_gib * GIB
    if not plan.steps_of("build", "pull", "environment") or host.disk_free_bytes >= needed:
        return None
    return Finding(
        code="disk-space",
        severity="error",
        title=f"too little disk: {plan.stack.name} needs {plan.stack.x.needs.disk_gib:g} GiB",
        evidence=(f"free: {host.disk_free_bytes / GIB:.1f} GiB",),
        fix=("docker system df", "du -sh .blackstack ~/.cache"),
        verify="df -h .",
    )


def check_memory(plan: Plan, host: Host) -> Finding | None:
    """A machine with less memory than the stack needs will be saved by the kernel, which kills the server."""
    if host.memory_bytes >= plan.stack.x.needs.memory_gib * GIB:
        return None
    return Finding(
        code="memory",
        severity="warning",
        title=f"{plan.stack.name} needs {plan.stack.x.needs.memory_gib:g} GiB of memory",
        evidence=(f"this machine has {host.memory_bytes / GIB:.1f} GiB",),
        fix=("a smaller CTX_SIZE or model",),
        verify="free -g",
    )


def check_build_knobs(plan: Plan, _host: Host) -> Finding | None:
    """A knob of the build does nothing where the image is here already."""
    knobs = plan.stack.x.build.args if plan.stack.x.build and plan.image and not plan.steps_of("build") else ()
    idle = [key for key in knobs if plan.settings[key].is_wish]
    if not idle:
        return None
    return Finding(
        code="build-knob-without-build",
        severity="warning",
        title=f"{', '.join(idle)} has no effect: the image {plan.image} is here already",
        fix=(f"inv build --stack {plan.stack.name} --set {idle[0]}={plan.settings[idle[0]].shown}",),
        verify="inv plan",
    )


def check_bind_address(plan: Plan, _host: Host) -> Finding | None:
    """Compose publishes on an IPv4 address, and takes no name for one."""
    with contextlib.suppress(ValueError):
        ipaddress.IPv4Address(plan.bind)
        return None
    if plan.runtime != "docker":
        return None
    return Finding(
        code="address-not-for-docker",
        severity="error",
        title=f"Docker cannot publish on BIND_ADDRESS={plan.bind}",
        cause="it takes an IPv4 address of this machine",
        fix=(plan.again("--set", "BIND_ADDRESS=127.0.0.1"),),
        verify="inv plan",
    )


def check_unfinished_change(plan: Plan, _host: Host) -> Finding | None:
    """A promotion that was killed half-way may have written one of its files and not the others."""
    name = plan.stack.name
    if not change.unfinished(plan.stack.root, name):
        return None
    return Finding(
        code="change-unfinished",
        severity="error",
        title=f"an `inv pin`, `promote` or `rollback` of {name} was killed half-way: its pin is not to be trusted",
        fix=(f"inv promote --stack {name}   # or rollback, or pin: each brings it to its end first",),
        verify=f"inv promote --list --stack {name}",
    )


CHECKS: tuple[Callable[[Plan, Host], Finding | None], ...] = (
    check_bind_address,
    check_port,
    check_disk,
    check_memory,
    check_build_knobs,
    check_unfinished_change,
)


def holder(port: int) -> str:
    """Say who listens on a port, as far as this user may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (process {process.pid})"
    return "a process of another user (sudo ss --listening --tcp --processes tells which)"


def next_free(bind: str, port: int) -> int:
    """Return the next port that is free."""
    for candidate in range(port + 1, min(port + _NEXT_PORTS, 65536)):
        with contextlib.suppress(OSError):
            _bind(bind, candidate)
            return candidate
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def _bind(address: str, port: int) -> None:
    family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As servers do: connections of an earlier server that still linger are no reason to refuse.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(place)

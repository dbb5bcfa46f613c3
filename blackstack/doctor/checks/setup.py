"""The start itself: its address and port, its knobs, what an earlier one left."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from pathlib import Path

from blackstack import change
from blackstack.doctor.case import Case
from blackstack.doctor.texts import found
from blackstack.facts import ports
from blackstack.finding import Finding


def check_port(case: Case) -> Finding | None:
    """The port must be free: the engine would find out only after it has loaded its weights."""
    plan = case.plan
    if plan is None:
        return None
    try:
        ports.listen(plan.bind, plan.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            again = plan.again("--set", f"PORT={ports.next_free(plan.bind, plan.port)}")
            return found("port-taken", {"port": plan.port, "holder": ports.holder(plan.port), "again": again})
        reason = error.strerror or str(error)
        return found("address-unusable", {"bind": plan.bind, "port": plan.port, "reason": reason})
    return None


def check_bind_address(case: Case) -> Finding | None:
    """Compose publishes on an IPv4 address, and takes no name for one."""
    if case.plan is None or not case.in_docker:
        return None
    with contextlib.suppress(ValueError):
        ipaddress.IPv4Address(case.plan.bind)
        return None
    again = case.plan.again("--set", "BIND_ADDRESS=127.0.0.1")
    return found("address-not-for-docker", {"bind": case.plan.bind, "again": again})


def check_build_knobs(case: Case) -> Finding | None:
    """A knob of the build does nothing where the image is here already."""
    plan = case.plan
    if plan is None:
        return None
    knobs = plan.stack.x.build.args if plan.stack.x.build and plan.image and not plan.steps_of("build") else ()
    idle = [key for key in knobs if plan.settings[key].is_wish]
    if not idle:
        return None
    setting = f"{idle[0]}={plan.settings[idle[0]].shown}"
    return found(
        "build-knob-without-build",
        {"knobs": ", ".join(idle), "image": plan.image, "stack": plan.stack.name, "setting": setting},
    )


def check_unfinished_change(case: Case) -> Finding | None:
    """A promotion that was killed half-way may have written one of its files and not the others."""
    if case.plan is None or not change.unfinished(case.plan.stack.root, case.plan.stack.name):
        return None
    return found("change-unfinished", {"stack": case.plan.stack.name})


def check_remains(case: Case) -> Finding | None:
    """Containers of this stack that ended, or that another copy of the repository started."""
    plan = case.plan
    if plan is None or not case.in_docker:
        return None
    left = case.facts.remains(plan.stack.project)
    if not left:
        return None
    here = Path(plan.stack.path).parent
    values = {"stack": plan.stack.name, "name": left[0].name, "project": plan.stack.project}
    evidence = [f"{one.name}: {one.state}" for one in left]
    strangers = [one for one in left if one.folder and Path(one.folder).resolve() != here.resolve()]
    if strangers:
        folders = [f"{one.name}: {one.folder}" for one in strangers]
        return found("started-elsewhere", {**values, "name": strangers[0].name}, evidence=folders)
    count = "a container" if len(left) == 1 else f"{len(left)} containers"
    return found("earlier-containers", {"count": count, **values}, evidence=evidence)

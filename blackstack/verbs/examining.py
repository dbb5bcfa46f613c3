"""The doctor: what is wrong with this machine, or with a stack on it, before anything starts."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Any

from blackstack import catalog, console, host, plan
from blackstack.catalog import Stack
from blackstack.doctor import PASSING, Case, Examination, Here, examine, fits_here
from blackstack.errors import BlockedError, UsageError
from blackstack.facts import Facts
from blackstack.finding import Finding
from blackstack.host import Host
from blackstack.plan import Wishes
from blackstack.verbs.choose import ROOT, find, readable

_GIB = 1 << 30


def doctor(stack: str | None, wishes: Wishes, *, as_json: bool = False) -> int:
    """Examine the machine, or a stack on it; print, and return the exit code: 1 where something will fail."""
    named = stack or os.environ.get("STACK")
    if not named and wishes != Wishes():
        raise UsageError(
            "--runtime, --profile, --set and --python say how a stack is served", fix="inv doctor --stack NAME …"
        )
    chosen = catalog.load(ROOT, named) if named else None
    machine = host.look(ROOT)
    facts = Facts(ROOT, machine, online=True)
    seen = _examine(chosen, machine, facts, wishes)
    offline = Facts(ROOT, machine)  # for a table nobody waits for registries
    fits = () if chosen else tuple(fits_here(one, offline) for one in readable())
    if as_json:
        told = {"host": _host(machine, facts, fits), "findings": [one.as_dict() for one in seen.findings]}
        console.data(told)
    else:
        _print(chosen, machine, facts, seen)
        _print_fits(fits)
    return int(seen.blocked)


def _examine(chosen: Stack | None, machine: Host, facts: Facts, wishes: Wishes) -> Examination:
    if chosen is None:
        return examine(Case(host=machine, facts=facts))
    try:
        made = plan.make(chosen, machine, wishes)
    except BlockedError as error:  # no plan: what can be said of the machine alone is said, and this
        seen = examine(Case(host=machine, facts=facts))
        others = tuple(one for one in seen.findings if one.code != "docker-unusable")
        return Examination(findings=(_as_finding(error), *others), fine=seen.fine)
    seen = examine(Case(host=machine, facts=facts, plan=made))
    found = find(chosen)
    if found is None or not found.alive:
        return seen
    kept = tuple(one for one in seen.findings if one.code not in PASSING)
    return Examination(findings=kept, fine=(*seen.fine, "up and running"))


def _as_finding(error: BlockedError) -> Finding:
    return Finding(
        code="docker-unusable",
        severity="error",
        title=error.what,
        evidence=error.why,
        fix=error.fix,
        verify="docker version",
    )


def _host(machine: Host, facts: Facts, fits: tuple[Here, ...]) -> dict[str, Any]:
    engine = machine.engine
    known = {
        "system": machine.system,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "memory_bytes": machine.memory_bytes,
        "disk_free_bytes": machine.disk_free_bytes,
        "python": machine.python,
        "revision": machine.revision,
        "no_engine": [machine.no_engine.what, *machine.no_engine.why] if machine.no_engine else [],
    }
    looked = facts.as_dict()
    versions = {"version": engine.version, "compose": engine.compose, "address": engine.address} if engine else {}
    told = {**known, **looked, "engine": {**versions, **looked["engine"]} if engine else None}
    return {**told, **({"stacks": [asdict(here) for here in fits]} if fits else {})}


def _print(chosen: Stack | None, machine: Host, facts: Facts, seen: Examination) -> None:
    console.pairs(
        {
            "machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / _GIB:.1f} GiB memory, "
            f"{machine.disk_free_bytes / _GIB:.1f} GiB disk free; {machine.system}",
            "docker": _engine_line(machine),
            **({"gpu": _gpu_line(facts)} if chosen is None or _wants_gpu(chosen) else {}),
            **({"stack": f"{chosen.name}: {chosen.x.title}"} if chosen else {}),
        }
    )
    for finding in seen.findings:
        _print_finding(finding)
    console.prose(f"\nfine: {', '.join(seen.fine)}")


def _print_finding(finding: Finding) -> None:
    """Print a finding; of what only might matter, the two lines that say so. All of it is in docs/doctor.md."""
    console.say()
    if finding.severity == "info":
        console.finding(replace(finding, evidence=(), cause="", fix=finding.fix[:1]))
        return
    console.finding(finding)
    console.say(f"  mended when: {finding.verify}") if finding.verify else None


def _wants_gpu(stack: Stack) -> bool:
    return bool(stack.x.needs.vram_gib or stack.x.needs.compute_capability)


def _engine_line(machine: Host) -> str:
    if machine.engine is None:
        return "; ".join([machine.no_engine.what, *machine.no_engine.why]) if machine.no_engine else "none"
    return f"engine {machine.engine.version}, compose {machine.engine.compose or 'missing'}"


def _gpu_line(facts: Facts) -> str:
    gpus = facts.gpus
    if not gpus.cards:
        return f"none ({gpus.detail or gpus.why_none})"
    cards = ", ".join(
        f"{card.name} ({card.compute_capability}, {card.free_mib:,} of {card.total_mib:,} MiB free)"
        for card in gpus.cards
    )
    if gpus.visible is not None:
        cards += f"; CUDA_VISIBLE_DEVICES={gpus.visible}"
    flavour = f", {facts.driver.flavour} modules" if facts.driver.flavour else ""
    return f"{cards}; driver {gpus.driver}{flavour}, CUDA {gpus.cuda or 'unknown'}"


def _print_fits(fits: tuple[Here, ...]) -> None:
    if not fits:
        return
    console.say()
    rows = [(here.stack, "yes" if here.fits else "no", _how_or_why_not(here)) for here in fits]
    console.table(("STACK", "FITS", "HOW, OR WHY NOT"), rows)
    if any(here.codes for here in fits):
        console.say("\nwhat mends it: inv doctor --stack NAME")


def _how_or_why_not(here: Here) -> str:
    if here.fits:
        return f"inv up --stack {here.stack}   # {here.how}"
    return ", ".join(here.codes) or "; ".join(here.why_not)

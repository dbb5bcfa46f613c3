"""Before anything runs: the list of stacks, and the dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blackstack import catalog, console, doctor, host
from blackstack.catalog import Stack
from blackstack.facts import Facts
from blackstack.finding import Finding
from blackstack.plan import Wishes
from blackstack.verbs.choose import ROOT, find, named, planned, short


def stacks(*, stack: str | None = None, fits: bool = False, as_json: bool = False) -> None:
    """List the stacks, or show one with its knobs and profiles; with *fits* only those that this machine can run."""
    chosen = (catalog.load(ROOT, stack),) if stack else catalog.load_all(ROOT)
    left_out: tuple[doctor.Here, ...] = ()
    if fits:
        facts = Facts(ROOT, host.look(ROOT))
        left_out = tuple(here for one in chosen if not (here := doctor.fits_here(one, facts)).fits)
        chosen = tuple(one for one in chosen if one.name not in {here.stack for here in left_out})
    if as_json:
        console.data([_described(one) for one in chosen])
    elif stack and chosen:
        _show_stack(chosen[0])
    else:
        rows = [(one.name, one.x.engine, one.x.model, _needs(one), one.x.status, one.x.title) for one in chosen]
        if rows or not fits:
            console.table(("STACK", "ENGINE", "MODEL", "NEEDS", "STATUS", "WHAT"), rows)
        for here in left_out:
            first, *others = here.why_not
            more = f" (and {len(others)} more: inv doctor --stack {here.stack})" if others else ""
            console.tell(f"left out: {here.stack}: {first}{more}")


def show_plan(stack: str | None, wishes: Wishes, *, as_json: bool = False) -> int:
    """Say what `up` would do; do nothing. Returns the exit code: 1 when something will keep it from working."""
    made, machine = planned(named(stack), wishes)
    up_already = find(made.stack)
    findings = doctor.findings(made, machine)
    found = tuple(one for one in findings if not (up_already and one.code == "port-taken"))  # it is ours
    if as_json:
        steps = [{"kind": step.kind, "command": step.typed} for step in made.steps]
        data = {**made.asked_for(), "url": made.url, "runtime_why": made.runtime_why, "steps": steps}
        console.data({**data, "findings": [finding.as_dict() for finding in found]})
        return _code(found)
    console.pairs(
        {
            "stack": f"{made.stack.name}: {made.stack.x.title}",
            "runtime": f"{made.runtime} ({made.runtime_why})",
            "url": made.url,
            **({"image": made.image} if made.image else {}),
            **({"environment": short(made.environment)} if made.environment else {}),
        }
    )
    console.say("\nwould run:")
    for step in made.steps:
        console.say(f"  + {step.typed}")
    console.say("\nknobs (inv up --set KEY=VALUE):")
    knobs = made.stack.x.knobs
    rows = [(key, made.settings[key].shown, made.settings[key].origin, knobs[key].about) for key in made.settings]
    console.table(("KNOB", "VALUE", "FROM", "WHAT"), rows, indent=2)
    for finding in found:
        console.say()
        console.finding(finding)
    return _code(found)


def _code(found: Sequence[Finding]) -> int:
    """Return the exit code: 1 when something will keep it from working."""
    return int(any(finding.severity == "error" for finding in found))


def _described(stack: Stack) -> dict[str, Any]:
    return {
        "name": stack.name,
        "file": str(stack.path.relative_to(stack.root)),
        **stack.x.model_dump(mode="json", exclude={"process", "build"}),
        "runtimes": ["docker", *(["process"] if stack.x.process else [])],
        "built_here": stack.x.build is not None,
    }


def _show_stack(stack: Stack) -> None:
    console.pairs(
        {
            "stack": stack.name,
            "what": stack.x.title,
            "file": str(stack.path.relative_to(stack.root)),
            "engine": stack.x.engine,
            "model": stack.x.model,
            "needs": _needs(stack),
            "status": f"{stack.x.status}: {stack.x.evidence}",
        }
    )
    console.say("\nknobs (inv up --set KEY=VALUE):")
    console.table(("KNOB", "TYPE", "WHAT"), [(k, v.type, v.about) for k, v in stack.x.knobs.items()], indent=2)
    if stack.x.profiles:
        console.say("\nprofiles (inv up --profile NAME):")
        rows = [(k, v.about, " ".join(f"{a}={b}" for a, b in v.set.items())) for k, v in stack.x.profiles.items()]
        console.table(("PROFILE", "WHAT", "SETS"), rows, indent=2)


def _needs(stack: Stack) -> str:
    needs = stack.x.needs
    gpu = f"GPU {needs.compute_capability or ''} {needs.vram_gib:g} GiB" if needs.vram_gib else "CPU"
    return f"{gpu}, {needs.memory_gib:g} GiB memory, {needs.disk_gib:g} GiB disk"

"""The way out: the image's registry, proxies, certificates, the clock, the hub's token."""

from __future__ import annotations

from fnmatch import fnmatchcase

from blackstack.doctor.case import Case
from blackstack.doctor.knowledge import knowledge
from blackstack.doctor.texts import found
from blackstack.facts.places import TOKENS
from blackstack.finding import Finding
from blackstack.registry import parse

_OF_PROBLEM = {
    "dns": "registry-unreachable",
    "unreachable": "registry-unreachable",
    "rate-limit": "registry-unreachable",
    "certificate": "certificate",
    "missing": "image-missing",
    "private": "image-private",
}


def check_registry(case: Case) -> Finding | None:
    """The image that is to be pulled is there to be pulled."""
    plan = case.plan
    if plan is None or not plan.image or not plan.steps_of("pull"):
        return None
    told = case.facts.image(plan.image)
    code = _OF_PROBLEM.get(told.problem)
    if code is None:
        return None
    name = parse(plan.image)
    values = {"image": plan.image, "stack": plan.stack.name, "registry": name.registry, "host": name.api_host}
    return found(code, {"reason": told.unknown, **values})


def check_engine_proxy(case: Case) -> Finding | None:
    """The engine, which pulls, goes through the proxy that this shell goes through."""
    proxies, engine = case.facts.network.proxies, case.facts.engine
    if not proxies or engine is None or engine.proxied or not engine.here:
        return None
    if case.plan and not case.plan.steps_of("pull", "build"):
        return None
    return found("engine-without-proxy", {"proxy": next(iter(proxies.values()))})


def check_loopback(case: Case) -> Finding | None:
    """Programs on this machine reach its server without a detour."""
    if not case.facts.network.loopback_goes_through_proxy:
        return None
    return found("proxy-catches-loopback", {"port": case.plan.port if case.plan else "PORT"})


def check_certificates(case: Case) -> Finding | None:
    """The CA bundles that variables name are there."""
    missing = case.facts.network.missing
    return found("ca-bundle-missing", evidence=missing) if missing else None


def check_clock(case: Case) -> Finding | None:
    """The clock agrees with a registry's, where one was asked; else, somebody keeps it right."""
    plan = case.plan
    asked = case.facts.image(plan.image) if plan and plan.image and plan.steps_of("pull") else None
    off = asked.clock_off_s if asked else None
    if off is not None:
        direction = "ahead" if off > 0 else "behind"
        too_far = abs(off) > knowledge()["ours"]["clock-off-s"]
        return found("clock", {"off": f"{abs(off):.0f} s", "direction": direction}) if too_far else None
    return found("clock-not-kept") if case.facts.network.clock_kept is False else None


def check_token(case: Case) -> Finding | None:
    """A model that the hub gives only to some comes with a token."""
    plan = case.plan
    model = plan.settings["MODEL"].value if plan and "MODEL" in plan.settings else ""
    if plan is None or not any(fnmatchcase(model, pattern) for pattern in knowledge()["gated"]["models"]):
        return None
    told = any(name in plan.settings and plan.settings[name].value for name in TOKENS)
    # The file of `hf auth login` is read by a process; a container gets the variable only.
    here = bool(case.facts.places.token) and not case.in_docker
    return None if told or here else found("hub-token", {"model": model, "stack": plan.stack.name})

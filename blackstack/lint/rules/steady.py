"""It is known when it is ready, it comes back a few times, and its log does not fill the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator

from blackstack.lint.document import Service, mapping, seconds, sequence
from blackstack.lint.engine import engine_of, value_of
from blackstack.lint.rule import Fault, Rule
from blackstack.loopback import is_loopback

GROUP = "It stays up, or says that it does not"
_COMPOSE = "https://docs.docker.com/reference/compose-file/services/"


def healthcheck_missing(service: Service) -> Iterator[Fault]:
    """Look for a service whose health nobody asks for."""
    check = mapping(service.raw.get("healthcheck"))
    test = [str(word) for word in sequence(check.get("test"))] or [service.text("healthcheck", "test")]
    if service.text("healthcheck", "disable") == "true" or test[0] in {"", "NONE"}:
        yield Fault(title=f"{service.name} has no health check", at=service.at("healthcheck"))


def start_period(service: Service) -> Iterator[Fault]:
    """Look for health checks that give up before the model is loaded."""
    check = mapping(service.raw.get("healthcheck"))
    engine = engine_of(service)
    if not check or not engine:
        return
    needed = engine.manner.start_s
    if service.is_server:
        ready_s = service.document.x.get("ready_s")
        needed = float(ready_s) if isinstance(ready_s, int | float) else 0.0  # its shape is the catalogue's affair
    text = service.text("healthcheck", "start_period")
    given = seconds(text) if text else 0.0
    if given is None or given < needed:
        at = service.at("healthcheck", "start_period")
        title = f"{service.name} may need {needed:g} s to load, and is given {text or 'none'}"
        yield Fault(title=title, at=at, fix=f"healthcheck: {{start_period: {needed:g}s}}")


def healthcheck_not_readiness(service: Service) -> Iterator[Fault]:
    """Look for health checks that ask something which answers too early."""
    check = mapping(service.raw.get("healthcheck"))
    test = [str(word) for word in sequence(check.get("test"))] or [service.text("healthcheck", "test")]
    if any(re.search(r"/v1/models|/(metrics|version|get_model_info)\b", word) for word in test):
        title = f"{service.name} says that it is ready before it is"
        yield Fault(title=title, at=service.at("healthcheck", "test"), shown=" ".join(test))


def restart_missing(service: Service) -> Iterator[Fault]:
    """Look for a server of which nobody said whether it is started again; `restart: "no"` is an answer."""
    policy = mapping(mapping(service.raw.get("deploy")).get("restart_policy"))
    if not service.text("restart") and not policy:
        yield Fault(title=f"{service.name} is not started again when it dies", at=service.at("restart"))


def restart_unbounded(service: Service) -> Iterator[Fault]:
    """Look for a server that is started again for ever."""
    text = service.text("restart")
    policy = mapping(mapping(service.raw.get("deploy")).get("restart_policy"))
    if text in {"always", "unless-stopped", "on-failure"}:
        yield Fault(title=f"{service.name} is started again without end", at=service.at("restart"), shown=text)
    elif policy and policy.get("condition", "any") != "none" and "max_attempts" not in policy:
        at = service.at("deploy", "restart_policy")
        yield Fault(title=f"{service.name} is started again without end", at=at)


def logging_unbounded(service: Service) -> Iterator[Fault]:
    """Look for logs without a bound."""
    logging = mapping(service.raw.get("logging"))
    options = mapping(logging.get("options"))
    driver = service.document.text(logging.get("driver")) or "json-file"
    if driver in {"json-file", "local"} and "max-size" not in options:
        yield Fault(title=f"{service.name}'s log grows without end", at=service.at("logging"))


def port_nobody_listens_on(service: Service) -> Iterator[Fault]:
    """Look for published ports that the engine does not listen on, as far as its image is known."""
    engine = engine_of(service)
    if engine is None or engine.known is None or not engine.public:
        return
    listens = value_of(service, engine, "--port") or str(engine.manner.port)
    for place, port in enumerate(sequence(service.raw.get("ports"))):
        text = service.document.text(port) if isinstance(port, str) else ""
        inside = text.rpartition(":")[2].partition("/")[0] or service.document.text(mapping(port).get("target"))
        if inside != listens:
            title = f"port {inside} of {service.name} is published, and the engine listens on {listens}"
            yield Fault(title=title, at=service.at("ports", place), shown=text)


def unreachable_inside(service: Service) -> Iterator[Fault]:
    """Look for an engine that listens inside its container only."""
    engine = engine_of(service)
    if engine is None or engine.known is None or not engine.public or not service.raw.get("ports"):
        return
    host = value_of(service, engine, "--host") or engine.manner.host
    if is_loopback(host):
        at = next((service.at(*where) for where, word in service.words if word == host), service.at("command"))
        yield Fault(title=f"{service.name} listens on {host} inside its container", at=at, shown=f"--host {host}")


RULES = (
    Rule(
        code="healthcheck-missing",
        severity="error",
        group=GROUP,
        about="Every service has a health check.",
        why="`up --wait` returns before the model is loaded, and nobody sees it hang",
        fix="healthcheck: with /health of the engine",
        source=_COMPOSE + "#healthcheck",
        check=healthcheck_missing,
    ),
    Rule(
        code="start-period-short",
        severity="error",
        group=GROUP,
        about="`start_period` is as long as a start may take: `x-stack.ready_s`, or two minutes for vLLM and SGLang.",
        why="a server that is still loading is called unhealthy, and `up --wait` fails",
        fix="healthcheck: {start_period: 300s}",
        source=_COMPOSE + "#healthcheck",
        check=start_period,
    ),
    Rule(
        code="healthcheck-not-readiness",
        severity="warning",
        group=GROUP,
        about="The health check asks /health or /ready.",
        why="/v1/models and the like answer 200 before the model is ready",
        fix="the engine's /health",
        source="https://github.com/noonghunna/club-3090/issues/1295",
        check=healthcheck_not_readiness,
    ),
    Rule(
        code="restart-missing",
        severity="warning",
        group=GROUP,
        about="The server is started again when it dies.",
        why="one fault of a kernel ends the service until somebody looks",
        fix="restart: on-failure:3",
        source=_COMPOSE + "#restart",
        check=restart_missing,
    ),
    Rule(
        code="restart-unbounded",
        severity="error",
        group=GROUP,
        about="It is started again a bounded number of times.",
        why="a server that dies on start loads its weights for ever, and the first cause scrolls away",
        fix="restart: on-failure:3",
        source=_COMPOSE + "#restart",
        check=restart_unbounded,
    ),
    Rule(
        code="logging-unbounded",
        severity="error",
        group=GROUP,
        about="The log has a largest size.",
        why="Docker's default keeps every line, until the disk is full",
        fix='logging: {driver: local, options: {max-size: 10m, max-file: "3"}}',
        source="https://docs.docker.com/engine/logging/drivers/json-file/",
        check=logging_unbounded,
    ),
    Rule(
        code="port-mismatch",
        severity="error",
        group=GROUP,
        about="The port that is published is the one that the engine listens on.",
        why="every connection is refused, while the log says that all is well",
        fix="the same number in --port and behind the last colon of ports",
        source="https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html",
        check=port_nobody_listens_on,
    ),
    Rule(
        code="loopback-inside",
        severity="error",
        group=GROUP,
        about="Inside the container the engine listens on every address.",
        why="127.0.0.1 of a container is not that of the machine; the container's own health check stays green",
        fix="--host 0.0.0.0; ports: keeps it on the machine's 127.0.0.1",
        source="https://github.com/noonghunna/club-3090/issues/1295",
        check=unreachable_inside,
    ),
)

"""Compose takes the file at all: every key is one that it knows, every value of the kind that it wants."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from blackstack.errors import nearest
from blackstack.lint.document import Document, Service, Where, mapping, seconds
from blackstack.lint.rule import Fault, Rule

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

GROUP = "Compose takes the file"
_SPEC = "https://docs.docker.com/reference/compose-file/"
_OTHERS = {"gpus", "devices", "include", "extends"}  # keys that have rules of their own, which say more
_HARMLESS = {"uniqueItems"}  # the specification forbids it, and Compose does not mind
_LONGEST = 160  # characters shown of what the specification says
_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
_SIZE = re.compile(r"-?\d+(\.\d+)?\s?([kmgtp]?i?b?)?", re.IGNORECASE)  # go-units, as Compose uses it
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")
_TRUTH = {"true", "false", "y", "n", "yes", "no", "on", "off"}
# Where a text stands that must be readable as something: the places, how to tell, what it should be, an example.
_READABLE: tuple[tuple[tuple[Where, ...], Callable[[str], bool], str, str], ...] = (
    (
        (
            ("stop_grace_period",),
            *(("healthcheck", key) for key in ("interval", "timeout", "start_period", "start_interval")),
        ),
        lambda text: seconds(text) is not None,
        "duration",
        "1m30s",
    ),
    (
        (("shm_size",), ("mem_limit",), ("mem_reservation",), ("memswap_limit",)),
        lambda text: _SIZE.fullmatch(text) is not None,
        "size",
        "8gb",
    ),
    (
        (("healthcheck", "retries"), ("pids_limit",), ("oom_score_adj",)),
        lambda text: re.fullmatch(r"-?\d+", text) is not None,
        "whole number",
        "3",
    ),
    (
        (("init",), ("privileged",), ("read_only",), ("tty",), ("stdin_open",)),
        lambda text: text.lower() in _TRUTH,
        "switch",
        "true",
    ),
    ((("restart",),), lambda text: _RESTART.fullmatch(text) is not None, "restart policy", "on-failure:3"),
)
_LARGEST_PORT = 65535
_PROTOCOLS = {"", "tcp", "udp", "sctp"}
_SHARED = ("network_mode", "ipc", "pid")  # of another service, as service:NAME


def shape(service: Service) -> Iterator[Fault]:
    """Look for keys that Compose does not know, and values of another kind than it wants."""
    for error in _validator().iter_errors(_plain(service.document, service.document.tree)):
        where = tuple(error.absolute_path)
        if where[:1] == ("services",) and len(where) > 1 and where[1] != service.name:
            continue
        yield from _told(service.document, _innermost(error))


def value(service: Service) -> Iterator[Fault]:
    """Look for durations, sizes, numbers and ports that cannot be read as such."""
    for places, good, wanted, example in _READABLE:
        for where in places:
            written = _at(service, where)
            text = service.document.text(written) if isinstance(written, str) else ""  # other kinds: see `shape`
            if text and not good(text):
                name = ".".join(map(str, where))
                title = f"{name}: {text!r} is no {wanted}"
                yield Fault(title=title, at=service.at(*where), shown=text, fix=f"{where[-1]}: {example}")
    for place, port in service.items("ports"):
        text = service.document.text(port) if isinstance(port, str | int) else ""
        if text and (wrong := _port_fault(text)):
            yield Fault(title=f"port {wrong}", at=service.at("ports", place), shown=text, fix="ADDRESS:PORT:PORT")


def reference(service: Service) -> Iterator[Fault]:
    """Look for services, networks, configs and secrets that nothing declares, and pairs that exclude each other."""
    tree = service.document.tree
    elsewhere = "include" in tree  # what is named may be declared in that file; `other-file` says so
    for key, declared in (("depends_on", "services"), *((key, key) for key in ("networks", "configs", "secrets"))):
        named = service.raw.get(key)
        known = {*mapping(tree.get(declared)), *(("default",) if key == "networks" else ())}
        for place, one in enumerate(named) if isinstance(named, Mapping | list) else ():
            name = str(one.get("source", "")) if isinstance(one, Mapping) else str(one)
            if name and name not in known and not elsewhere:
                at = service.at(key, name if isinstance(named, Mapping) else place)
                yield Fault(title=f"{service.name} names {key}: {name}, and `{declared}:` has none", at=at, shown=name)
            elif key == "depends_on" and name == service.name:
                at = service.at(key, name if isinstance(named, Mapping) else place)
                yield Fault(title=f"{name} depends on itself", at=at, shown=name)
    for key in _SHARED:
        of_service, _, name = service.text(key).partition(":")
        if of_service != "service" or (name != service.name and (elsewhere or name in mapping(tree.get("services")))):
            continue
        why = "which is itself" if name == service.name else "and `services:` has none"
        yield Fault(title=f"{service.name} has {key} of service {name}, {why}", at=service.at(key), shown=name)
    if "network_mode" in service.raw and "networks" in service.raw:
        at = service.at("network_mode")
        yield Fault(title=f"{service.name} has network_mode and networks, which exclude each other", at=at)


def _at(service: Service, where: Where) -> object:
    data: object = service.raw
    for part in where:
        data = mapping(data).get(str(part))
    return data


@functools.cache
def _validator() -> Validator:
    """Return what knows the Compose specification; both libraries take their time to load."""
    from check_jsonschema.builtin_schemas import get_builtin_schema  # noqa: PLC0415
    from jsonschema.validators import validator_for  # noqa: PLC0415

    schema = get_builtin_schema("vendor.compose-spec")
    return validator_for(schema)(schema)


def _plain(document: Document, data: object) -> Any:  # noqa: ANN401 - a tree of YAML
    """Return a tree as Compose sees it when it checks it: variables filled in, everything else as it was written."""
    if isinstance(data, Mapping):
        return {str(key): _plain(document, value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(document, value) for value in data]
    return document.text(data) if isinstance(data, str) else data


def _innermost(error: ValidationError) -> ValidationError:
    """Return the fault itself, where one of several forms is allowed: that of the form which the value has."""
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    return best_match([error]) if error.context else error


def _told(document: Document, error: ValidationError) -> Iterator[Fault]:
    where = tuple(error.absolute_path)
    if error.validator in _HARMLESS or _OTHERS.intersection(map(str, where)):
        return
    place = ".".join(map(str, where)) or "the file"
    if error.validator in {"additionalProperties", "unevaluatedProperties"} and isinstance(error.instance, Mapping):
        known, patterns = _keys(mapping(error.schema))
        for key in error.instance:
            if key not in known | _OTHERS and not any(re.search(pattern, key) for pattern in patterns):
                near = nearest(key, known)
                fix = f"{near}, if that is what was meant" if near else ""
                title = f"{place} has a key that Compose does not know: {key}"
                yield Fault(title=title, at=document.at(*where, key), fix=fix)
        return
    wanted = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    said = error.message
    if error.validator == "type" and isinstance(wanted, list):
        said = f"must be {' or '.join(_KINDS[kind] for kind in wanted)}"
    elif error.validator in {"oneOf", "anyOf"}:
        said = "has none of the forms that Compose takes"
    yield Fault(title=f"{place} {said[:_LONGEST]}", at=document.at(*where))


def _keys(schema: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the keys that a part of the specification allows, and patterns of more of them."""
    known, patterns = set(schema.get("properties", {})), set(schema.get("patternProperties", {}))
    for part in schema.get("allOf", ()):
        *_, name = str(part["$ref"]).split("/")  # all of them are of the same file: #/$defs/NAME
        more, others = _keys(_validator().schema["$defs"][name])
        known, patterns = known | more, patterns | others
    return known, patterns


def _port_fault(text: str) -> str:
    """Return what is wrong with a port as Compose writes it, ``[[ADDRESS:]HOST:]INSIDE[/PROTOCOL]``, or nothing.

    As ``ParsePortSpec`` of https://github.com/docker/go-connections/blob/main/nat/nat.go has it.
    """
    ports, _, protocol = text.partition("/")
    if protocol.lower() not in _PROTOCOLS:
        return f"{text} has the protocol {protocol}, and may have tcp, udp or sctp"
    parts = ports.rsplit(":", 2)[-2:]
    if not parts[-1]:
        return f"{text} has no port inside the container"
    for part in filter(None, parts):
        ends = part.split("-", 1)
        if not all(end.isascii() and end.isdecimal() and int(end) <= _LARGEST_PORT for end in ends):
            return f"{part} is no number up to {_LARGEST_PORT}"
        if int(ends[0]) > int(ends[-1]):
            return f"{part} ends before it starts"
    counts = [_count(part) for part in filter(None, parts)]
    if len(counts) == 2 and counts[0] != counts[1] and counts[1] != 1:  # noqa: PLR2004 - outside and inside
        return f"{text} has {counts[0]} outside and {counts[1]} inside"
    return ""


def _count(part: str) -> int:
    first, _, last = part.partition("-")
    return int(last or first) - int(first) + 1


RULES = (
    Rule(
        code="compose-shape",
        severity="error",
        group=GROUP,
        about="Every key is one of the Compose specification's, and its value of the right kind.",
        why="Compose refuses the file",
        fix="write it as the specification has it",
        source=_SPEC,
        check=shape,
    ),
    Rule(
        code="compose-value",
        severity="error",
        group=GROUP,
        about="Durations, sizes, numbers and ports can be read as such.",
        why="Compose refuses the file",
        fix="1m30s, 8gb, 127.0.0.1:8000:8000",
        source=_SPEC + "services/",
        check=value,
    ),
    Rule(
        code="compose-reference",
        severity="error",
        group=GROUP,
        about="What a service names is declared: services, networks, configs, secrets.",
        why="Compose refuses the file: «invalid compose project»",
        fix="declare it, or leave it out",
        source=_SPEC + "services/",
        check=reference,
    ),
)

"""Nobody gets in who should not, and nothing gets out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from blackstack.lint.document import Service, default_of, mapping, sequence
from blackstack.lint.engine import engine_of
from blackstack.lint.rule import Fault, Rule
from blackstack.lint.rules.alone import mounts
from blackstack.lint.words import is_secret_name, looks_secret
from blackstack.loopback import is_loopback

GROUP = "Nobody gets in"
_COMPOSE = "https://docs.docker.com/reference/compose-file/services/"
_SECURITY = "https://docs.docker.com/engine/security/"


def open_to_others(service: Service) -> Iterator[Fault]:
    """Look for ports that other machines reach, of a server that asks for no key."""
    if _has_key(service):
        return
    if service.text("network_mode") == "host":
        yield Fault(title=f"{service.name} listens on every address of the machine", at=service.at("network_mode"))
    for place, port in enumerate(sequence(service.raw.get("ports"))):
        address = _address(service, port)
        if not is_loopback(address):
            shown = port if isinstance(port, str) else "ports with no host_ip"
            title = f"{service.name} can be reached by other machines, and asks for no key"
            yield Fault(title=title, at=service.at("ports", place), shown=str(shown))


def literal_secret(service: Service) -> Iterator[Fault]:
    """Look for keys that stand in the file."""
    for name, (where, value) in service.environment.items():
        text = "" if value is None else str(value)
        default = default_of(text, {})
        if (is_secret_name(name) and default) or looks_secret(default):
            yield Fault(title=f"the secret {name} stands in the file", at=service.at(*where), shown=f"{name}: …")


def secret_on_command_line(service: Service) -> Iterator[Fault]:
    """Look for keys among the words of the command."""
    words = service.words
    for place, (where, word) in enumerate(words):
        name, equals, value = word.partition("=")
        follows = bool(equals and value) or (place + 1 < len(words) and not words[place + 1][1].startswith("-"))
        if (name.startswith("--") and is_secret_name(name) and follows) or looks_secret(word):
            at = service.at(*where)
            yield Fault(title=f"a secret stands on {service.name}'s command line", at=at, shown=f"{name} …")


def capabilities(service: Service) -> Iterator[Fault]:
    """Look for a service that keeps its capabilities."""
    dropped = [str(one).upper() for _, one in service.items("cap_drop")]
    if "ALL" not in dropped:
        yield Fault(title=f"{service.name} keeps capabilities", at=service.at("cap_drop"))


def capability_added(service: Service) -> Iterator[Fault]:
    """Look for capabilities that are given back."""
    for place, one in service.items("cap_add"):
        yield Fault(title=f"{service.name} gets {one}", at=service.at("cap_add", place), shown=str(one))


def new_privileges(service: Service) -> Iterator[Fault]:
    """Look for a service that may gain privileges."""
    options = [str(one).replace("=", ":") for _, one in service.items("security_opt")]
    if not {"no-new-privileges", "no-new-privileges:true"} & set(options):
        yield Fault(title=f"{service.name} may gain privileges", at=service.at("security_opt"))


def privileged(service: Service) -> Iterator[Fault]:
    """Look for a service that is root on the machine, one way or another."""
    if service.text("privileged") == "true":
        yield Fault(title=f"{service.name} is root on the machine", at=service.at("privileged"))
    for key in ("pid", "userns_mode"):
        if service.text(key) == "host":
            yield Fault(title=f"{service.name} shares the machine's {key}", at=service.at(key))
    for place, option in service.items("security_opt"):
        if re.match(r"(seccomp|apparmor)[:=]unconfined", str(option)):
            title = f"{service.name} may make any system call"
            yield Fault(title=title, at=service.at("security_opt", place), shown=str(option))


def docker_socket(service: Service) -> Iterator[Fault]:
    """Look for the engine's socket."""
    for place, source, _ in mounts(service):
        if source.endswith("docker.sock"):
            yield Fault(title=f"{service.name} holds the Docker socket", at=service.at("volumes", place), shown=source)


def _has_key(service: Service) -> bool:
    """Say whether clients must send a key: one is asked for, or stands there (which is another fault)."""
    engine = engine_of(service)
    names = engine.manner.key_variables if engine else ()
    texts = [str(value) for name, (_, value) in service.environment.items() if name in names and value]
    texts += [word for place, (_, word) in enumerate(service.words) if place and _is_key(service.words[place - 1][1])]
    return any(":?" in text or default_of(text, {}) for text in texts)


def _is_key(word: str) -> bool:
    return word.replace("_", "-") == "--api-key"


def _address(service: Service, port: object) -> str:
    """Return the address on this machine; ``0.0.0.0`` where the file names none."""
    everywhere = "0.0.0.0"  # noqa: S104 - what Docker does, not us
    if isinstance(port, str):
        head = service.document.text(port).rpartition(":")[0]  # without the container's port
        return head.rpartition(":")[0].strip("[]") or everywhere
    return service.document.text(mapping(port).get("host_ip")) or everywhere


RULES = (
    Rule(
        code="open-to-others",
        severity="error",
        group=GROUP,
        about="Ports are published on 127.0.0.1, or the server asks for a key.",
        why="whoever reaches the port uses the model; Docker's published ports pass by most firewalls",
        fix='ports: ["${BIND_ADDRESS:-127.0.0.1}:8000:8000"]',
        source="https://docs.docker.com/engine/network/packet-filtering-firewalls/",
        check=open_to_others,
    ),
    Rule(
        code="literal-secret",
        severity="error",
        group=GROUP,
        about="No key stands in the file, not as a default either.",
        why="the file is copied, committed and pasted; the key with it",
        fix="${API_KEY:-}, and the value in the shell or in a .env file that is not committed",
        source="https://docs.docker.com/compose/how-tos/environment-variables/best-practices/",
        check=literal_secret,
    ),
    Rule(
        code="secret-on-command-line",
        severity="error",
        group=GROUP,
        about="No key is a word of the command.",
        why="every user of the machine can read command lines, and `docker inspect` shows them",
        fix="the engine's variable instead, such as VLLM_API_KEY: ${API_KEY:-}",
        source="https://docs.docker.com/compose/how-tos/use-secrets/",
        check=secret_on_command_line,
    ),
    Rule(
        code="capabilities-kept",
        severity="error",
        group=GROUP,
        about="All capabilities are dropped.",
        why="a server that is taken over keeps what it was given",
        fix="cap_drop: [ALL]",
        source=_SECURITY + "#linux-kernel-capabilities",
        check=capabilities,
    ),
    Rule(
        code="capability-added",
        severity="warning",
        group=GROUP,
        about="No capability is given back, outside a debugging profile.",
        why="no engine needs one to serve; SYS_PTRACE is for debugging",
        fix="leave `cap_add:` out",
        source=_SECURITY + "#linux-kernel-capabilities",
        check=capability_added,
    ),
    Rule(
        code="new-privileges",
        severity="error",
        group=GROUP,
        about="No process may gain privileges.",
        why="a program with the setuid bit would be root in the container",
        fix="security_opt: [no-new-privileges:true]",
        source=_COMPOSE + "#security_opt",
        check=new_privileges,
    ),
    Rule(
        code="privileged",
        severity="error",
        group=GROUP,
        about="Not privileged, no name spaces of the machine, no unconfined system calls.",
        why="who takes over the server has the machine",
        fix="leave it out; GPUs need none of it",
        source=_COMPOSE + "#privileged",
        check=privileged,
    ),
    Rule(
        code="docker-socket",
        severity="error",
        group=GROUP,
        about="The engine's socket is not mounted.",
        why="who can write to it is root on the machine",
        fix="leave it out",
        source=_SECURITY + "#docker-daemon-attack-surface",
        check=docker_socket,
    ),
)

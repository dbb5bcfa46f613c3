"""Serves with Docker: `docker compose` does what is done, the SDK observes what is."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import requests

from blackstack import forensics, host, shell
from blackstack.catalog import Stack
from blackstack.errors import BlackstackError, BlockedError
from blackstack.forensics import Traces
from blackstack.plan import Plan, compose_argv
from blackstack.progress import Progress
from blackstack.runtime import state
from blackstack.runtime.base import Running

if TYPE_CHECKING:
    from docker.models.containers import Container

_PROJECT = "com.docker.compose.project"  # labels that compose writes
_SERVICE = "com.docker.compose.service"
_STOP_S = "10"
_TOLD = ("oom", "kill", "die", "stop", "restart")  # the events that tell of an end
_KEPT_LINES = 10_000  # of the log, when the container is removed


@dataclass(frozen=True)
class DockerRuntime:
    """The runtime for machines with an engine."""

    root: Path
    name: str = "docker"

    def prepare(self, plan: Plan, progress: Progress) -> None:
        """Build or pull the image, if it is not there."""
        for step in plan.steps_of("build", "pull"):
            progress.stage(step.kind)
            progress.command(step.typed)
            lock = state.folder(self.root, plan.stack.name) / "build.lock"
            with state.locked(lock, doing=f"get the image of {plan.stack.name}"):
                done = shell.follow(step.argv, on_line=progress.line, cwd=self.root, env=step.env)
            if done.code:
                raise _explained(done, plan)

    def start(self, plan: Plan, progress: Progress) -> Running:
        """Have compose create and start the container."""
        (step,) = plan.steps_of("start")
        progress.stage("create")
        progress.command(step.typed)
        for name, text in step.files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)  # what somebody typed is theirs to read
            path.write_text(text, encoding="utf-8")
        done = shell.follow(step.argv, on_line=progress.line, cwd=self.root, env=step.env)
        if done.code:
            raise _explained(done, plan)
        running = self.observe(plan.stack)
        if running is None:
            raise BlackstackError(
                f"compose started {plan.stack.name}, but there is no container of it",
                why=done.out.splitlines()[-5:],
            )
        return running

    def observe(self, stack: Stack) -> Running | None:
        """Look for the server's container."""
        container = self._container(stack)
        return None if container is None else _running(stack, container.attrs)

    def stop(self, stack: Stack, progress: Progress) -> None:
        """Keep the log, then have compose stop and remove the containers and the network."""
        container = self._container(stack)
        if container is not None:
            log = state.folder(self.root, stack.name) / state.LOG
            log.parent.mkdir(parents=True, exist_ok=True)
            with _asking():
                log.write_bytes(_log(container, _KEPT_LINES))
        argv = compose_argv(stack, "down", "--timeout", _STOP_S, "--remove-orphans")
        progress.stage("stop")
        progress.command(shell.typed(argv))
        # Its labels decide what is removed: a value of the shell that compose cannot read must not stand in the way.
        done = shell.follow(argv, on_line=progress.line, cwd=self.root, env=stack.defaults)
        if done.code:
            raise shell.CommandFailedError(done, what=f"{stack.name} could not be taken down")

    def tail(self, stack: Stack, count: int) -> list[str]:
        """Return the last lines of the container's log, or of the one that was kept when it was removed."""
        container = self._container(stack)
        if container is not None:
            with _asking():
                text = _log(container, count).decode(errors="replace")
        else:
            log = state.folder(self.root, stack.name) / state.LOG
            text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        return text.splitlines()[-count:]

    def follow(self, stack: Stack, count: int) -> Iterator[str]:
        """Yield the last lines, and then lines as they are written, until the container ends."""
        container = self._container(stack)
        if container is None:
            return
        rest = b""
        with _asking():
            for chunk in container.logs(stream=True, follow=True, tail=count):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
        if rest:
            yield rest.decode(errors="replace")

    def peak_memory(self, stack: Stack) -> int | None:
        """Read the peak of the container's cgroup, version 2 (from Linux 5.19 on) or 1."""
        for name in ("memory.peak", "memory/memory.max_usage_in_bytes"):
            with contextlib.suppress(BlackstackError, ValueError):
                return int(self.ask(stack, f"print(open('/sys/fs/cgroup/{name}').read())"))
        return None

    def traces(self, stack: Stack) -> Traces:
        """Look at the container's events, its log's age, and, while it lives, its cgroup."""
        container = self._container(stack)
        if container is None:
            return Traces()
        now = container.attrs["State"]
        with _asking():
            newest = _joined(container.logs(tail=1, timestamps=True)).decode(errors="replace").partition(" ")[0]
            events = host.client().events(
                since=int(_seconds(container.attrs["Created"])),
                until=cast("int", time.time()),  # a whole second would have the engine wait for its end
                filters={"container": container.id, "event": list(_TOLD)},
                decode=True,
            )
            told = tuple(_event(event) for event in events)
        end = time.time() if now["Running"] else _seconds(now.get("FinishedAt", ""))
        return Traces(
            events=tuple(dict.fromkeys(told)),
            memory={k: n for k, n in forensics.memory_counters(now.get("Pid") or 0).items() if n},
            quiet_s=max(0.0, end - _seconds(newest)) if newest else None,
            marks=(str(container.id),),
        )

    def ask(self, stack: Stack, code: str) -> str:
        """Run a line of Python inside the container."""
        container = self._container(stack)
        if container is None:
            raise BlackstackError(f"{stack.name} has no container to ask")
        with _asking():
            done = container.exec_run(["python3", "-c", code])
        text = _joined(done.output).decode(errors="replace")
        if done.exit_code:
            raise BlackstackError(f"the container of {stack.name} did not answer", why=text)
        return text

    def _container(self, stack: Stack) -> Container | None:
        labels = [f"{_PROJECT}={stack.project}", f"{_SERVICE}={stack.x.service}"]
        with _asking():
            found = host.client().containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return found[0] if found else None


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Turn what the SDK says of an engine that went away into our sentence for it."""
    from docker.errors import DockerException  # noqa: PLC0415 - host.client() has paid for it

    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise host.no_engine(str(error)[:300]) from error


def _event(event: dict[str, Any]) -> str:
    """Say an event of a container in a word or two."""
    about = event.get("Actor", {}).get("Attributes", {})
    number = about.get("signal", "")
    if number.isdigit():
        named = {one.value: one.name for one in signal.Signals}  # most of the real-time ones have no name
        number = named.get(int(number), f"signal {number}")
    more = number or (f"exit code {about['exitCode']}" if "exitCode" in about else "")
    return f"{event.get('Action')} ({more})" if more else str(event.get("Action"))


def _seconds(text: str) -> float:
    """Return a time of the engine's (RFC 3339, nanoseconds) as seconds since the epoch; 0 where it is none."""
    try:
        return datetime.fromisoformat(f"{text[:19]}+00:00").timestamp() + float(f"0{text[19:].rstrip('Z') or '.0'}")
    except ValueError:
        return 0.0


def _log(container: Container, lines: int) -> bytes:
    return _joined(container.logs(tail=lines))


def _joined(output: bytes | Iterable[bytes]) -> bytes:
    """Return the bytes of an answer that the SDK may also give in pieces."""
    return output if isinstance(output, bytes) else b"".join(output)


def _running(stack: Stack, facts: dict[str, Any]) -> Running:
    now = facts["State"]
    alive = now["Running"] and not now.get("Restarting")
    ports = (facts["NetworkSettings"].get("Ports") or {}).get(f"{stack.container_port}/tcp")
    ports = ports or (facts["HostConfig"].get("PortBindings") or {}).get(f"{stack.container_port}/tcp") or [{}]
    address, port = ports[0].get("HostIp") or "127.0.0.1", ports[0].get("HostPort", "")
    address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, address)  # noqa: S104 - read, not bound
    return Running(
        stack=stack.name,
        runtime="docker",
        state="running" if alive else "exited",
        url=f"http://{address}:{port}",
        identity=f"container {facts['Id'][:12]}",
        exit_code=None if alive else now["ExitCode"],
        out_of_memory=bool(now.get("OOMKilled")),
        restarts=int(facts.get("RestartCount", 0)),
        started_at=str(now.get("StartedAt", ""))[:19] + "+00:00",
        found_inside={"image": facts["Config"]["Image"], "image_id": facts["Image"]},
    )


# What docker, buildx and compose print, what it means, and what helps: the first that fits is said.
_CAUSES: tuple[tuple[tuple[str, ...], str, list[str]], ...] = (
    (
        ("no space left on device", "No space left on device"),
        "the disk is full",
        ["docker system df", "docker builder prune"],
    ),
    (
        ("gate stopped the build: ",),
        "it would not be what was asked for",
        ["constraints.txt, the versions at the head of the Dockerfile and the index have to agree"],
    ),
    (
        ("exec format error", "no match for platform in manifest", "does not match the specified platform"),
        "the base image is of another processor's architecture",
        ["docker image inspect --format '{{.Architecture}}' BASE_IMAGE", "uname --machine"],
    ),
    (
        ("port is already allocated", "address already in use", "Ports are not available"),
        "the port was taken in the meantime",
        ["ss --listening --tcp --processes --numeric", "choose another: --set PORT=…"],
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "certificate signed by unknown authority", "certificate verify failed"),
        "something on the way to the index or the registry shows a certificate that is not trusted",
        ["export PIP_CERT=/path/to/your/ca-bundle.crt   # inv build hands it to the build as a secret"],
    ),
    (
        (
            "Failed to establish a new connection",
            "Temporary failure in name resolution",
            "IncompleteRead",
            "Read timed out",
        ),
        "the package index was not reached, or the connection was cut",
        ["the same command again: what was downloaded is kept", "behind a proxy: export HTTPS_PROXY, or PIP_INDEX_URL"],
    ),
    (
        ("ResolutionImpossible", "Cannot install ", "No matching distribution found"),
        "pip finds no versions that fit together",
        ["constraints.txt and the versions at the head of the Dockerfile have to agree"],
    ),
    (
        (
            "failed to resolve source metadata",
            "pull access denied",
            "manifest unknown",
            "manifest for",
            "No such image",
            "no such host",
            "i/o timeout",
            "connection refused",
            "TLS handshake timeout",
            "not found: manifest",
            "failed to do request",
            "EOF",
        ),
        "an image cannot be pulled",
        [],
    ),
    (("Cannot connect to the Docker daemon", "error during connect"), "the engine went away", []),
)


def _explained(done: shell.Done, plan: Plan) -> BlackstackError:
    verb = {"build": "built", "pull": "pulled", "compose": "started"}
    doing = next((said for word, said in verb.items() if word in done.argv[:3]), "started")
    for signs, cause, fix in _CAUSES:
        line = next((line for line in done.out.splitlines() for sign in signs if sign in line), None)
        if line:
            return BlockedError(
                f"{plan.stack.name} could not be {doing}: {cause}",
                why=line.strip()[:400],
                fix=[*fix, *_without_that_image(cause, plan)],
            )
    return shell.CommandFailedError(done, what=f"{plan.stack.name} could not be {doing}")


def _without_that_image(cause: str, plan: Plan) -> list[str]:
    """Say how to do without an image that cannot be pulled."""
    if cause != "an image cannot be pulled":
        return []
    ways = []
    if "BASE_IMAGE" in plan.settings:
        ways.append(f"build on an image that you have: inv build --stack {plan.stack.name} --set BASE_IMAGE=NAME:TAG")
    if "IMAGE" in plan.settings:
        ways.append(f"run an image that you have: inv up --stack {plan.stack.name} --set IMAGE=NAME:TAG")
    if plan.stack.x.process:
        ways.append(f"do without Docker: inv up --stack {plan.stack.name} --runtime process")
    return ways

"""What is found inside a running server, and what it ran on: asked, never assumed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from blackstack import host
from blackstack.bench import Target
from blackstack.catalog import Stack
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError
from blackstack.facts import gpus
from blackstack.plan import Plan
from blackstack.ready import PROBE_S, asking
from blackstack.runtime.base import Running, Runtime

ANSWER_S = 10.0  # for a question about versions; the server may be busy


def found(stack: Stack, runtime: Runtime, running: Running, note: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Ask the running server of a stack; a thing that does not answer is left out, never guessed.

    The note is what `inv up` wrote of its start.
    """
    inside = model_of(target)
    engine = ENGINES[stack.x.engine]
    if version := _get(target, engine.version_path).get(engine.version_key):
        inside["engine"] = {"name": stack.x.engine, "version": version}
    with contextlib.suppress(BlackstackError, ValueError):
        inside["packages"] = json.loads(runtime.ask(stack, _versions(engine.packages)))
    stages = note.get("stage_seconds")
    return {**inside, **running.found_inside, **({"start_up_seconds": stages} if stages else {})}


def model_of(target: Target) -> dict[str, Any]:
    """Return what a server says of the model that it serves."""
    served = _get(target, "/v1/models").get("data") or []
    keys = ("id", "root", "max_model_len", "meta")
    return {"model": {key: served[0][key] for key in keys if key in served[0]}} if served else {}


def _versions(packages: Sequence[str]) -> str:
    return (
        "import json, platform, importlib.metadata as m; "
        f"names = {list(packages)!r}; have = {{d.metadata['Name'] for d in m.distributions()}}; "
        "print(json.dumps({'python': platform.python_version(), **{n: m.version(n) for n in names if n in have}}))"
    )


def _get(target: Target, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
    with asking() as session, contextlib.suppress(requests.RequestException):
        answer = session.get(target.url + path, headers=headers, timeout=(PROBE_S, ANSWER_S))
        data = answer.json() if answer.ok else {}
        return data if isinstance(data, dict) else {}
    return {}


def ran_on(machine: host.Host) -> dict[str, object]:
    """Return what a measurement ran on: the machine, and the GPUs as their driver names them."""
    seen = gpus.look()
    cards = [
        {
            "name": card.name,
            "compute_capability": card.compute_capability,
            "memory_mib": card.total_mib,
            "power_limit_w": card.power_limit_w,
        }
        for card in seen.cards
    ]
    return {
        **machine.as_record(),
        **({"gpus": cards, "driver": seen.driver, "cuda_driver": seen.cuda} if cards else {}),
    }


def identity(made: Plan) -> str:
    """Return what tells the image or environment of a plan from a later one of the same name."""
    if made.image:
        with _asking():
            return str(host.client().images.get(made.image).id)
    return made.environment.name if made.environment else str(made.python)


def footprint(made: Plan) -> int | None:
    """Return the bytes on disk of the image or environment that a plan runs; None where it is not known."""
    if made.image:
        with _asking():
            return int(host.client().images.get(made.image).attrs["Size"])
    if made.environment is None:
        return None
    return sum(path.lstat().st_size for path in made.environment.rglob("*"))


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Take what the engine does not tell for not known."""
    from docker.errors import DockerException  # noqa: PLC0415 - host.client() has paid for it

    with contextlib.suppress(DockerException, BlackstackError):
        yield

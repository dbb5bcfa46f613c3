"""What an image says of itself: the CUDA inside, from the variables that NVIDIA's base images set."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from blackstack import host
from blackstack.errors import UsageError
from blackstack.registry import NotThereError, Registry, RegistryError, parse

PATIENCE_S = 5.0
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """An image's own words.

    Attributes:
        name: as it was asked for.
        source: who told: ``engine``, ``registry``, or nobody, and then ``unknown`` says why.
        cuda: the toolkit that it was built with, such as ``13.0.2`` (CUDA_VERSION); empty: no CUDA image.
        require: what the container toolkit demands of the machine (NVIDIA_REQUIRE_CUDA).
        problem: where the registry did not tell: ``missing``, or a `Problem` of ``blackstack.registry.refusal``; the
            sentence is in ``unknown``.
        clock_off_s: how far this machine's clock is from the registry's, in seconds; None where nobody was asked.
    """

    name: str
    source: str = ""
    cuda: str = ""
    require: str = ""
    problem: str = ""
    unknown: str = ""
    clock_off_s: float | None = None


def of_engine(name: str) -> ImageFacts:
    """Return what the engine knows of an image that it holds."""
    config = host.client().images.get(name).attrs.get("Config") or {}
    return read_env(name, "engine", config.get("Env") or ())


def of_registry(name: str, *, patience_s: float = PATIENCE_S) -> ImageFacts:
    """Return what the registry knows of an image; some kilobytes are read, nothing is pulled. Never raises."""
    dates: list[str] = []
    with Registry(patience_s=patience_s) as registry:
        registry.session.hooks["response"].append(lambda answer, **_: dates.append(answer.headers.get("Date", "")))
        facts = _asked(name, registry)
    return replace(facts, clock_off_s=_off(dates[0]) if dates else None)


def read_env(name: str, source: str, env: Iterable[str]) -> ImageFacts:
    """Return the facts of an image's variables, each ``NAME=value``."""
    values = dict(pair.split("=", 1) for pair in env if "=" in pair)
    return ImageFacts(
        name=name, source=source, cuda=values.get("CUDA_VERSION", ""), require=values.get("NVIDIA_REQUIRE_CUDA", "")
    )


def _asked(name: str, registry: Registry) -> ImageFacts:
    here = f"linux/{_MACHINES.get(platform.machine(), platform.machine())}"
    try:
        env = registry.config(parse(name), here).get("Env") or ()
    except NotThereError as error:
        return ImageFacts(name=name, problem="missing", unknown=error.what)
    except RegistryError as error:
        return ImageFacts(name=name, problem=error.problem, unknown=": ".join((error.what, *error.why)))
    except UsageError as error:
        return ImageFacts(name=name, problem="strange", unknown=error.what)
    if not isinstance(env, list | tuple):
        return ImageFacts(name=name, problem="strange", unknown="its variables are no list")
    return read_env(name, "registry", map(str, env))


def _off(date: str) -> float | None:
    """Return how far this machine's clock is from an answer's, in seconds."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None

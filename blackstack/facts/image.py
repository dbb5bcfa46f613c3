"""What an image says of itself: the CUDA inside, from the variables that NVIDIA's base images set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blackstack import host


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """An image's own words.

    Attributes:
        name: as it was asked for.
        source: who told: ``engine``, ``registry``, or nobody, and then ``unknown`` says why.
        cuda: the toolkit that it was built with, such as ``13.0.2`` (CUDA_VERSION); empty: no CUDA image.
        require: what the container toolkit demands of the machine (NVIDIA_REQUIRE_CUDA).
        problem: a code of ``blackstack.facts.registry`` where the registry did not tell.
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


def read_env(name: str, source: str, env: Iterable[str]) -> ImageFacts:
    """Return the facts of an image's variables, each ``NAME=value``."""
    values = dict(pair.split("=", 1) for pair in env if "=" in pair)
    return ImageFacts(
        name=name, source=source, cuda=values.get("CUDA_VERSION", ""), require=values.get("NVIDIA_REQUIRE_CUDA", "")
    )

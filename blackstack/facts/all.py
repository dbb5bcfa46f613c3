"""All facts of one machine, each looked for when it is first asked for."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from blackstack.facts import containers, driver, gpus, image, limits, network, places
from blackstack.facts.containers import EngineFacts, Remains, Toolkit
from blackstack.facts.driver import Driver
from blackstack.facts.gpu import Gpus
from blackstack.facts.image import ImageFacts
from blackstack.facts.limits import Limits
from blackstack.facts.network import Network
from blackstack.facts.places import Places
from blackstack.host import Host
from blackstack.registry import held


class Facts:
    """The facts; a property looks the first time, and remembers.

    Args:
        root: the repository.
        host: what is known already.
        online: whether registries may be asked.
        known: facts by their names, for those who have them already, as tests do.
    """

    def __init__(self, root: Path, host: Host, *, online: bool = False, **known: object) -> None:
        self.root = root
        self.host = host
        self.online = online
        self._images: dict[str, ImageFacts] = {}
        self.__dict__.update(known)  # where functools.cached_property keeps what it knows

    @cached_property
    def gpus(self) -> Gpus:
        """The GPUs."""
        return gpus.look()

    @cached_property
    def driver(self) -> Driver:
        """The driver's part in the kernel."""
        return driver.look()

    @cached_property
    def engine(self) -> EngineFacts | None:
        """What the Docker engine says of itself; None without one."""
        return containers.look_at_engine(self.host.engine.address) if self.host.engine else None

    @cached_property
    def toolkit(self) -> Toolkit:
        """NVIDIA's container toolkit."""
        return containers.look_at_toolkit(self.engine.cdi_folders if self.engine else ())

    @cached_property
    def limits(self) -> Limits:
        """What this process may use."""
        return limits.look()

    @cached_property
    def places(self) -> Places:
        """Where things are kept."""
        return places.look()

    @cached_property
    def closed(self) -> tuple[str, ...]:
        """The folders of the repository that cannot be written to."""
        return places.closed(self.root)

    @cached_property
    def network(self) -> Network:
        """What the way out looks like."""
        return network.look()

    def remains(self, project: str) -> tuple[Remains, ...]:
        """What earlier starts of a compose project left."""
        return containers.look_for_remains(project) if self.host.engine else ()

    def image(self, name: str) -> ImageFacts:
        """What an image says of itself; asked of the engine that holds it, or of its registry."""
        if name not in self._images:
            self._images[name] = self._look_at_image(name)
        return self._images[name]

    def _look_at_image(self, name: str) -> ImageFacts:
        if self.host.engine and held(name, self.host.engine.images):
            return image.of_engine(name)
        if self.online:
            return image.of_registry(name)
        return ImageFacts(name=name, unknown="it is not here, and its registry was not asked")

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready data; whatever was not looked for yet, is now."""
        subjects = ("gpus", "driver", "engine", "toolkit", "limits", "network")
        facts = {name: getattr(self, name) for name in subjects}
        told = {name: asdict(fact) if fact is not None else None for name, fact in facts.items()}
        cache = {**asdict(self.places), "cache_bytes": places.size(self.places.cache), "closed": self.closed}
        return {**told, "places": cache}

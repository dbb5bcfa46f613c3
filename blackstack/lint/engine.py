"""Which engine a service runs, in which version, and what its image does with the command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from blackstack.flags import Known, Reading, closest, read
from blackstack.lint.document import Service, Where


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How an engine behaves in a container; a row, so that no rule asks which engine it has.

    Attributes:
        images: what the names of its public images look like; the first group of the tag is the version.
        launchers: the words that start it, where a command spells them out.
        port: where it listens unless told otherwise.
        host: the address that it listens on unless told otherwise.
        key_variables: the variables that can hold the key that clients must send.
        many_processes: whether it hands tensors between processes through shared memory.
        start_s: seconds that no start takes less than, so that a shorter ``start_period`` is a mistake.
        model_first: whether it takes the model as its first word, before its parser sees the command.
        caches: whether it fetches weights or compiles kernels that are worth keeping.
    """

    images: str
    launchers: tuple[tuple[str, ...], ...]
    port: int
    host: str
    key_variables: tuple[str, ...]
    many_processes: bool
    start_s: float
    caches: bool
    model_first: bool = False


_PYTHON = "python3?"
# A few lines of Python, or a file of an image that is built here, that start the engine with the words behind them.
_OURS = ((_PYTHON, "-c", r"(?s:.*)"), (_PYTHON, r"serve\.py"))
MANNERS: Mapping[str, Manner] = {
    "vllm": Manner(
        images=r"(?:.*/)?vllm/vllm-openai(?::v?(?P<version>\d[\w.]*?)(?:-\w+)?)?(?:@.*|:.*)?",
        launchers=(("vllm", "serve"), (_PYTHON, "-m", r"vllm\.entrypoints\.openai\.api_server")),
        port=8000,
        host="0.0.0.0",  # noqa: S104 - what the engine does, not us
        key_variables=("VLLM_API_KEY",),
        many_processes=True,
        start_s=120,
        caches=True,
    ),
    "sglang": Manner(
        images=r"(?:.*/)?lmsysorg/sglang(?::v?(?P<version>\d[\w.]*?)(?:-\w+)*)?(?:@.*|:.*)?",
        launchers=(("sglang", "serve"), (_PYTHON, "-m", r"sglang\.launch_server")),
        port=30000,
        host="127.0.0.1",
        key_variables=("SGLANG_SERVER_KEY",),  # our own: SGLang has only --api-key
        many_processes=True,
        start_s=120,
        caches=True,
        model_first=True,
    ),
    "llamacpp": Manner(
        images=r"(?:.*/)?ggml-org/llama\.cpp:.*",
        launchers=(),
        port=8080,
        host="127.0.0.1",
        key_variables=("LLAMA_API_KEY", "LLAMA_ARG_API_KEY"),
        many_processes=False,
        start_s=10,
        caches=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The engine of a service.

    Attributes:
        name: a key of MANNERS.
        version: as the file pins it, or None.
        known: what is known of that version, or of the one nearest to it; None where nothing is.
        public: whether the image is the engine's own, whose entrypoint is known.
    """

    name: str
    version: str | None
    known: Known | None
    public: bool

    @property
    def manner(self) -> Manner:
        """The engine's row."""
        return MANNERS[self.name]

    @property
    def exact(self) -> bool:
        """Whether the flags are those of this very version."""
        return self.known is not None and self.known.version == self.version


def engine_of(service: Service) -> Engine | None:
    """Say which engine a service runs: by ``x-stack``, its image's name, or the words that start it."""
    said = service.document.x if service.is_server else {}
    named = said["engine"] if isinstance(said.get("engine"), str) else None  # the block may have any shape
    version = said.get("engine_version") if named else None
    public = False
    for name, manner in MANNERS.items():
        match = re.fullmatch(manner.images, service.image)
        if match:
            public = True
            found = match.groupdict().get("version")
            if named in {None, name}:
                named, version = name, version or found
        elif named is None and _launcher(service, manner.launchers):
            named = name
    if named not in MANNERS:
        return None
    wanted = None if version is None else str(version)
    # Our own llama.cpp server is the only one whose flags there is data of.
    known = None if named == "llamacpp" and not service.is_server else closest(str(named), wanted)
    return Engine(name=str(named), version=wanted, known=known, public=public)


def reading_of(service: Service, engine: Engine) -> tuple[Reading, tuple[tuple[Where, str], ...]]:
    """Read the service's command as the engine would; return it with the words and places that it counts in."""
    words = service.words[_launcher(service, (*engine.manner.launchers, *_OURS)) :]
    if engine.known is None:
        return Reading(uses=(), loose=()), words
    return read([word for _, word in words], engine.known), words


def value_of(service: Service, engine: Engine, name: str) -> str | None:
    """Return the last value of a flag of the command, or None."""
    values = [
        use.values[0]
        for use in reading_of(service, engine)[0].uses
        if use.flag is not None and name in use.flag.names and use.values
    ]
    return values[-1] if values else None


def _launcher(service: Service, launchers: Iterable[tuple[str, ...]]) -> int:
    """Count the words that only start the engine."""
    words = [word.rpartition("/")[2] for _, word in service.words]
    for launcher in launchers:
        if len(words) >= len(launcher) and all(map(re.fullmatch, launcher, words)):
            return len(launcher)
    return 0


def starts_with_serve(service: Service) -> bool:
    """Tell whether the words begin with `vllm serve` or the like, which has rules of its own."""
    words = [word.rpartition("/")[2] for _, word in service.words[:2]]
    return len(words) > 1 and words[1] == "serve"

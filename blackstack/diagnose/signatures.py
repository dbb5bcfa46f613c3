"""`signatures.yaml` → frozen objects. Unknown keys are refused, and all faults are told at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from blackstack.diagnose import stages
from blackstack.diagnose.entries import Checked, Entry, Language, Searched, Words
from blackstack.diagnose.scan import Pattern, Scanner
from blackstack.diagnose.stages import Stage
from blackstack.errors import UsageError
from blackstack.finding import Severity

SIGNATURES = Path(__file__).with_name("signatures.yaml")

UNKNOWN = "unknown"
"""The code of the finding that says: it failed, and we do not know why."""


PLACES: Mapping[str, str] = MappingProxyType({"free_share": "FREE/TOTAL", "stack": ""})
"""What stands in a command's ``{places}`` where nothing is known of the case: in the guide."""


class Advice(Entry):
    """A command to run and why, or what to do where no command can.

    Attributes:
        knowing: the figure that must be known for this advice.
        not_knowing: the figure for which this advice stands in.
    """

    run: str = ""
    en: str = ""
    ko: str = ""
    knowing: Literal["free_share", ""] = ""
    not_knowing: Literal["free_share", ""] = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.en) != bool(self.ko):
            raise ValueError("has words in one language only")
        if not (self.run or self.en):
            raise ValueError("has neither a command nor words")
        return self

    def say(self, language: Language = "en", *, places: Mapping[str, str] = PLACES) -> str:
        """Return one line that can be pasted into a shell, if there is a command."""
        words = self.ko if language == "ko" else self.en
        return filled(f"{self.run}  # {words}" if self.run and words else self.run or words, places)


class WithoutDocker(Entry):
    """What a command means for a server that `inv` runs without Docker.

    Attributes:
        docker: what the command is with Docker, or begins with.
        run: what to type instead of that; None: there is nothing of the kind, and the advice is left out.
    """

    docker: str = Field(min_length=1)
    run: str | None


class Together(Entry):
    """Patterns that mean something only near each other."""

    all: tuple[Searched, ...]
    within: PositiveInt = 40
    in_order: bool = False


Item = Annotated[
    Annotated[Searched, Tag("line")] | Annotated[Together, Tag("together")],
    Discriminator(lambda item: "line" if isinstance(item, str) else "together"),
]
"""One of the ways in which a cause shows itself."""


class Death(Entry):
    """What a silent end has meant before."""

    code: str
    oom_killed: bool = False
    exit_code: int | None = None
    signal: str = ""
    stages: tuple[str, ...] = ()
    meant: Words | None = None
    next: tuple[Advice, ...] = ()


class Signature(Entry):
    """One cause: how it shows itself, why it is so, and what mends it."""

    code: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: Words
    severity: Severity = "error"
    engines: tuple[Literal["vllm", "sglang", "llamacpp"], ...] = ()
    versions: str = ""
    any: tuple[Item, ...] = ()
    unless: tuple[Checked, ...] = ()
    none: tuple[Searched, ...] = ()
    startup_only: bool = False
    precedence: int = Field(default=5, ge=0, le=9)
    consequence_of: tuple[str, ...] | Literal["everything"] = ()
    cause: Words
    fix: tuple[Advice, ...] = Field(min_length=1)
    verify: str = Field(min_length=1)
    sources: tuple[str, ...] = Field(min_length=1)


class Catalogue(Entry):
    """All that is known about failures."""

    harmless: tuple[Checked, ...]
    trouble: tuple[Searched, ...]
    stages: tuple[Stage, ...]
    without_docker: tuple[WithoutDocker, ...] = ()
    deaths: tuple[Death, ...]
    signatures: tuple[Signature, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        codes = [s.code for s in self.signatures]
        known = {stage.name for stage in self.stages}
        faults = [f"{code}: there are two of it" for code in sorted({c for c in codes if codes.count(c) > 1})]
        for s in self.signatures:
            if s.consequence_of != "everything":
                faults += [f"{s.code}: consequence_of names no code: {c}" for c in s.consequence_of if c not in codes]
        for death in self.deaths:
            faults += [f"deaths: no such code: {death.code}"] * (death.code not in codes)
            faults += [f"deaths: no such stage: {name}" for name in death.stages if name not in known]
        faults += [f"signatures: {UNKNOWN} is needed"] * (UNKNOWN not in codes)
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @cached_property
    def by_code(self) -> dict[str, Signature]:
        """Every signature under its code."""
        return {s.code: s for s in self.signatures}

    def command(self, text: str, runtime: str) -> str | None:
        """Return a command as it is for a server of this runtime; None where there is no such thing."""
        if runtime != "process":
            return text
        for row in self.without_docker:
            if text.startswith(row.docker):
                return None if row.run is None else row.run + text.removeprefix(row.docker)
        return text

    @cached_property
    def scanner(self) -> Scanner:
        """A scanner for everything that any entry looks for."""
        return Scanner(
            [
                *(self.pattern(regex) for regex in self.trouble),
                *(Pattern(regex) for stage in self.stages for regex in stage.lines),
                *(self.pattern(r, s) for s in self.signatures for item in s.any for r in regexes(item)),
                *(self.pattern(r, s) for s in self.signatures for r in s.none),
            ]
        )

    def pattern(self, regex: str, signature: Signature | None = None) -> Pattern:
        """Return *regex* with what takes its line back: what is harmless for all, and for *signature*."""
        unless = (*self.harmless, *(signature.unless if signature else ()))
        return Pattern(regex, unless="|".join(f"(?:{r})" for r in unless))


def filled(text: str, places: Mapping[str, str]) -> str:
    """Put values into ``{places}``; other braces, as Docker's templates have them, stay."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def regexes(item: str | Together) -> tuple[str, ...]:
    """Return the patterns of an item of `any`."""
    return item.all if isinstance(item, Together) else (item,)


@lru_cache(maxsize=1)
def load(path: Path = SIGNATURES) -> Catalogue:
    """Read and check the file.

    Raises:
        UsageError: with every fault of the file, a line each.
    """
    try:
        data = YAML(typ="safe", pure=True).load(path)
        return Catalogue.model_validate({**data, "stages": stages.load()})
    except YAMLError as error:
        raise UsageError(f"{path.name} is not YAML", why=str(error)) from error
    except ValidationError as error:
        why = [f"{_place(fault['loc'], data)}: {fault['msg']}" for fault in error.errors()]
        raise UsageError(f"{path.name} has {len(why)} fault(s)", why=why, fix="see the comment at its top") from error


def _place(location: tuple[int | str, ...], data: dict[str, Any]) -> str:
    """Name the place of a fault as its writer would: by code, not by number."""
    match location:
        case ("signatures", int(number), *rest):
            steps = ["signatures", data["signatures"][number].get("code", number), *rest]
        case _:
            steps = list(location)
    return ".".join(str(step) for step in steps if step not in {"line", "together"})

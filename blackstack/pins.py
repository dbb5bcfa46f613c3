"""The pin of a stack whose image is pulled: read from its files, held against its registry, written back.

A pin is ``NAME:TAG@sha256:…``: the digest decides what is pulled, the tag says to people what it is. It stands twice,
in ``env/NAME.env`` and as the default in ``compose/NAME.yaml``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from ruamel.yaml import YAML

from blackstack.catalog import Stack, template
from blackstack.catalog.profiles import kept_names, path_of
from blackstack.errors import BlockedError, UsageError
from blackstack.finding import Finding, Severity
from blackstack.registry import NotThereError, Reference, Registry, RegistryError, parse, short_id

KNOB = "IMAGE"
CACHE_KNOB = "JIT_KEY"  # the folder of kernels that were compiled for the image
PLATFORM = "linux/amd64"  # what the stacks are made for
KEPT_HERE = "localhost/blackstack"  # names of images that were restored; no registry can be meant by them
MOST_TWINS = 200  # tags that are asked about to find the lasting one; Docker Hub keeps 14 of vLLM's
# vLLM's nightlies: the moving `nightly`, and for each a lasting `nightly-<commit>` (vllm#24102, vllm#32522).
_COMMIT = re.compile(r"-[0-9a-f]{40}$")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What a name stands for now.

    Attributes:
        image: with its digest, under its lasting tag where it has one.
        platforms: for which machines it is.
        note: what a reader should know of how it was found; empty mostly.
    """

    image: Reference
    platforms: tuple[str, ...]
    note: str = ""


class HomesDifferError(UsageError):
    """The two files of a stack name two images."""


def written(stack: Stack) -> Reference:
    """Return the image that the stack's files name, whatever the shell or env/local.env say.

    Raises:
        UsageError: the image is built here, the two files differ, or it is no image's name.
    """
    if stack.x.build is not None:
        raise UsageError(
            f"{stack.name} is built here: no registry has its image",
            why=f"what it is made of is pinned in {stack.x.build.dockerfile} and the requirements beside it",
            fix=f"inv archive --stack {stack.name}   # keeps the image as it is",
        )
    return in_files(stack)


def in_files(stack: Stack) -> Reference:
    """Return the image that the stack's files name, also of one that is built here.

    Raises:
        HomesDifferError: the two files name two images.
        UsageError: it is no image's name.
    """
    default, path = stack.defaults.get(KNOB, ""), env_file(stack)
    value = dotenv_values(path, interpolate=False).get(KNOB) if path.is_file() else None
    if value and value != default:
        raise HomesDifferError(
            f"the two homes of {stack.name}'s pin differ",
            why=[f"{path.relative_to(stack.root)}: {value}", f"{stack.path.relative_to(stack.root)}: {default}"],
            fix=f"write the same {KNOB} into both",
        )
    return parse(default)


def kept_name(stack: str, image_id: str) -> str:
    """Return the name of an image that no registry has under it; it never stands for another one.

    >>> kept_name("toy", "sha256:" + "a" * 64)
    'localhost/blackstack/toy:aaaaaaaaaaaa'
    """
    return f"{KEPT_HERE}/{stack}:{short_id(image_id)}"


def moving(tag: str | None) -> str | None:
    """Return the tag that moves on where this one, named after a commit, stays.

    >>> moving("nightly-" + "0" * 40)
    'nightly'
    """
    return _COMMIT.sub("", tag) if tag and _COMMIT.search(tag) else None


def resolve(image: Reference, registry: Registry) -> Pin:
    """Ask the registry what a tag stands for now; of a nightly, the newest one's lasting tag.

    Raises:
        NotThereError: there is no such tag.
        RegistryError: nobody could be asked.
        BlockedError: there is nothing in it for our machines.
    """
    tag = moving(image.tag) or image.tag or "latest"
    try:
        found = registry.manifest(image.at(tag=tag, digest=None))
    except NotThereError:
        if tag == image.tag:
            raise
        tag = str(image.tag)  # no more nightlies: then the one that was named
        found = registry.manifest(image.at(tag=tag, digest=None))
    if PLATFORM not in found.platforms:
        raise BlockedError(
            f"{image.at(tag=tag, digest=None)} has nothing for {PLATFORM}",
            why=f"it is for {', '.join(found.platforms) or 'nothing that is named'}",
        )
    pinned = image.at(tag=tag, digest=found.digest)
    lasting, note = _lasting(pinned, registry)
    return Pin(image=pinned.at(tag=lasting or tag, digest=found.digest), platforms=found.platforms, note=note)


def _lasting(pinned: Reference, registry: Registry) -> tuple[str | None, str]:
    """Look for the tag that is named after a commit and has the same digest."""
    if not pinned.tag or not pinned.tag.endswith("nightly"):
        return None, ""
    prefix = f"{pinned.tag}-"
    try:
        tags = [tag for tag in registry.tags(pinned) if tag.startswith(prefix) and _COMMIT.search(tag)]
        for tag in tags[:MOST_TWINS]:
            if registry.digest(pinned.at(tag=tag, digest=None)) == pinned.digest:
                return tag, ""
    except (RegistryError, NotThereError) as error:
        return None, f"its {prefix}<commit> tag was not found: {error.what}"
    return None, f"none of the {len(tags)} tags {prefix}<commit> has this digest"


def check(stack: Stack, registry: Registry) -> Iterator[Finding]:
    """Hold a stack's pin, and those of its profiles, against their registries; a pin that stands yields nothing.

    Raises:
        UsageError: the stack's image is built here, and no profile of it has another.
    """
    images = images_of_profiles(stack)
    if stack.x.build is None or not images:
        yield from _own(stack, registry)
    local = kept_names(path_of(stack.root, stack.name))
    for name, image in images.items():
        file = path_of(stack.root, stack.name) if name in local else stack.path
        again = f"another {KNOB} in profile {name} of {file.relative_to(stack.root)}"
        yield from _asked(_Home(who=f"{stack.name}:{name}", stack=stack.name, again=again), parse(image), registry)


def images_of_profiles(stack: Stack) -> dict[str, str]:
    """Return the image of each profile that has one of its own."""
    return {name: str(profile.set[KNOB]) for name, profile in stack.x.profiles.items() if KNOB in profile.set}


def _own(stack: Stack, registry: Registry) -> Iterator[Finding]:
    home = _Home(who=stack.name, stack=stack.name, again=f"inv pin --stack {stack.name}", archives=True)
    try:
        image = written(stack)
    except HomesDifferError as error:
        yield Finding(
            code="pin-homes-differ",
            severity="error",
            title=f"{stack.name}: {error.what}",
            evidence=tuple(error.why),
            fix=tuple(error.fix),
            verify=home.verify,
        )
        return
    yield from _asked(home, image, registry)


@dataclass(frozen=True, kw_only=True)
class _Home:
    """Where a pin stands.

    Attributes:
        who: the stack, or ``STACK:PROFILE``.
        stack: its name.
        again: how it is pinned anew.
        archives: whether `inv archive` and `inv restore` know this image: a profile's they do not.
    """

    who: str
    stack: str
    again: str
    archives: bool = False

    @property
    def verify(self) -> str:
        return f"inv pin --check --stack {self.stack}"

    @property
    def keep(self) -> tuple[str, ...]:
        return (f"inv archive --stack {self.stack}",) if self.archives else ()

    def said(self, code: str, severity: Severity, title: str, evidence: str, *fix: str) -> Finding:
        return Finding(
            code=code,
            severity=severity,
            title=f"{self.who}: {title}",
            evidence=(evidence,),
            fix=fix,
            verify=self.verify,
        )


def _asked(home: _Home, image: Reference, registry: Registry) -> Iterator[Finding]:
    if image.name.startswith(f"{KEPT_HERE}/"):
        said = "runs from an archive: no registry has its image"
        yield home.said("pin-kept-here", "info", said, str(image), home.again)
        return
    try:
        yield from _held(home, image, registry)
    except RegistryError as error:
        yield Finding(
            code="pin-not-checked",
            severity="error",
            title=f"{home.who}: its pin was not checked: {error.what}",
            evidence=(str(image), *error.why),
            fix=(*error.fix, home.verify),
            verify=home.verify,
        )


def _held(home: _Home, image: Reference, registry: Registry) -> Iterator[Finding]:
    now = _digest_now(image, registry)
    if image.digest is None:
        if now is None:
            gone = f"the registry has no tag {image.tag}"
            yield home.said("pin-vanished", "error", gone, str(image), home.again)
        else:
            moves = f"is not pinned: {image.tag} may move"
            yield home.said("pin-none", "warning", moves, f"it is {now} now", home.again)
    try:
        found = registry.manifest(image)
    except NotThereError:
        if image.digest:
            ways = [f"inv restore --stack {home.stack}"] if home.archives else []
            ways += [f"{keep}   # where an engine still has it" for keep in home.keep]
            gone = "the registry no longer has the pinned image"
            yield home.said("pin-vanished", "error", gone, str(image), *ways, home.again)
        return
    if PLATFORM not in found.platforms:
        had = f"it has {', '.join(found.platforms) or 'none that is named'}"
        yield home.said("pin-platform", "error", f"its image has nothing for {PLATFORM}", had, home.again)
    if image.digest and image.tag and now is None:
        gone = f"the tag {image.tag} is gone, and the image may follow it"
        yield home.said("pin-tag-vanished", "error", gone, str(image), *home.keep, home.again)
    elif image.digest and image.tag and now != image.digest:
        other, shown = f"{image.tag} is another image now than the pinned one", f"pinned: {image.digest}, now: {now}"
        yield home.said("pin-moved", "error", other, shown, *home.keep, home.again)
    newest = moving(image.tag)
    if image.digest and newest:
        ahead = _digest_now(image.at(tag=newest, digest=None), registry)
        if ahead not in {None, image.digest}:
            yield home.said("pin-newer", "info", f"there is a newer {newest}", f"{newest} is {ahead}", home.again)


def _digest_now(image: Reference, registry: Registry) -> str | None:
    try:
        return registry.digest(image.at(tag=image.tag or "latest", digest=None))
    except NotThereError:
        return None


def repinned(stack: Stack, image: str) -> dict[Path, str]:
    """Return the new text of the two files; only values change, comments and spaces stay.

    What was compiled for one image must not be loaded by another: where the stack keeps such caches, their key
    follows the pin.

    Raises:
        UsageError: a file is written in a way that cannot be edited safely.
    """
    reference, path = parse(image), env_file(stack)
    key = short_id(reference.digest) if reference.digest else str(reference.tag)
    values = {KNOB: image, **({CACHE_KNOB: key} if CACHE_KNOB in stack.defaults else {})}
    compose = _read(stack.path)
    env = _read(path) if path.is_file() else ""
    for knob, value in values.items():
        compose = compose.replace(f"${{{knob}:-{stack.defaults[knob]}}}", f"${{{knob}:-{value}}}")
        env = with_value(env, knob, value, where=str(path.relative_to(stack.root)))
    defaults = dict(template.variables(YAML(typ="safe").load(compose)["services"]))
    if any(defaults.get(knob) != value for knob, value in values.items()):
        places = " and ".join(f"${{{knob}:-…}}" for knob in values)
        raise UsageError(f"cannot write the pin into {stack.path.relative_to(stack.root)}", why=f"no {places} in it")
    return {path: env, stack.path: compose}


def with_value(text: str, key: str, value: str, *, where: str) -> str:
    r"""Return an env file's text with another value of one key; it is appended where it is not there.

    >>> with_value("# the tag\nIMAGE=a:1  # why\n", "IMAGE", "a:2", where="x.env")
    '# the tag\nIMAGE=a:2  # why\n'

    Raises:
        UsageError: the key stands there more than once, or the value cannot be written plainly.
    """
    line = re.compile(
        rf"^([ \t]*(?:export[ \t]+)?{re.escape(key)}[ \t]*=[ \t]*)(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s#]\S*)?", re.MULTILINE
    )
    found = len(line.findall(text))
    if found > 1:
        raise UsageError(f"{where} sets {key} {found} times", fix="leave one of them")
    break_ = "" if not text or text.endswith("\n") else "\n"
    new = line.sub(lambda match: match[1] + value, text) if found else f"{text}{break_}{key}={value}\n"
    wanted = {**dotenv_values(stream=io.StringIO(text), interpolate=False), key: value}
    if dotenv_values(stream=io.StringIO(new), interpolate=False) != wanted:
        raise UsageError(f"{where}: {key} is written in a way that cannot be changed safely", fix="change it by hand")
    return new


def without(text: str, key: str) -> str:
    """Return an env file's text without a key, and without the comment that stands right above it."""
    return re.sub(rf"(?m)^(?:#[^\n]*\n)*[ \t]*(?:export[ \t]+)?{re.escape(key)}[ \t]*=[^\n]*\n?", "", text)


def values_of(text: str) -> dict[str, str]:
    """Return the values of an env file's text."""
    return {key: value or "" for key, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items()}


def env_file(stack: Stack) -> Path:
    """Return the file of the stack's pins and knobs; it need not exist."""
    return stack.root / "env" / f"{stack.name}.env"


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as stream:  # line ends stay as they are
        return stream.read()

"""The file alone, in an empty folder with an empty environment, is a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from blackstack.catalog import template
from blackstack.lint.document import Service, mapping, sequence, variables_of
from blackstack.lint.rule import Fault, Rule
from blackstack.lint.words import is_secret_name

GROUP = "The file works alone"
_COMPOSE = "https://docs.docker.com/reference/compose-file/services/"
_MOVING = ("nightly", "main", "dev", "stable", "edge")
_BRACED = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?P<operator>:?[-?+])?|(?P<bare>[A-Za-z_]\w*))")


def build_section(service: Service) -> Iterator[Fault]:
    """Look for `build:`."""
    if "build" in service.raw:
        yield Fault(title=f"{service.name} is built where it runs", at=service.at("build"))


def env_file(service: Service) -> Iterator[Fault]:
    """Look for `env_file:`."""
    if "env_file" in service.raw:
        yield Fault(title=f"{service.name} reads a second file for its environment", at=service.at("env_file"))


def other_file(service: Service) -> Iterator[Fault]:
    """Look for `extends:` and `include:`, and for configs and secrets out of files."""
    if "extends" in service.raw:
        yield Fault(title=f"{service.name} is continued from elsewhere", at=service.at("extends"))
    tree = service.document.tree
    if "include" in tree:
        yield Fault(title="the file is continued from another", at=service.document.at("include"))
    for key in ("configs", "secrets"):
        for name, data in mapping(tree.get(key)).items():
            if "file" in mapping(data):
                place = service.document.at(key, name, "file")
                yield Fault(title=f"{key.removesuffix('s')} {name} is a second file", at=place)


def repository_path(service: Service) -> Iterator[Fault]:
    """Look for mounts that start beside the file."""
    for place, source in _binds(service):
        if source.startswith("."):
            yield Fault(
                title=f"{service.name} mounts a path beside the file", at=service.at("volumes", place), shown=source
            )


def host_path(service: Service) -> Iterator[Fault]:
    """Look for mounts of this one machine's folders."""
    for place, source in _binds(service):
        if source.startswith(("/", "~")):
            title = f"{service.name} mounts a folder of this machine"
            yield Fault(title=title, at=service.at("volumes", place), shown=source)


def command_text(service: Service) -> Iterator[Fault]:
    """Look for commands in one text."""
    for key in ("entrypoint", "command"):
        if isinstance(service.raw.get(key), str):
            yield Fault(title=f"{key} of {service.name} is one text, not a list", at=service.at(key))


def empty_word(service: Service) -> Iterator[Fault]:
    """Look for words of the command that are nothing."""
    for where, word in service.words:
        if not word.strip():
            title = f"a word of {service.name}'s command is empty"
            yield Fault(title=title, at=service.at(*where), shown=repr(_raw(service, where)))


def image_missing(service: Service) -> Iterator[Fault]:
    """Look for a service without an image."""
    if not service.image and "build" not in service.raw:
        yield Fault(title=f"{service.name} has no image", at=service.at())


def image_unpinned(service: Service) -> Iterator[Fault]:
    """Look for images whose name does not say which one it is."""
    image = service.image
    tag = image.rpartition("/")[2].partition(":")[2]
    if not image or "@sha256:" in image:
        return
    pinnable = "$" in str(service.raw.get("image"))
    if not tag or tag == "latest" or tag.startswith("latest-"):
        yield Fault(title=f"{image} is another image tomorrow", at=service.at("image"), shown=image)
    elif not pinnable and any(re.search(rf"\b{word}\b", tag) for word in _MOVING) and not _commit(tag):
        fix = "image: ${IMAGE:-…}, and a digest in its place: inv pin"
        yield Fault(title=f"the tag {tag} moves and cannot be pinned", at=service.at("image"), shown=image, fix=fix)


def variable_without_default(service: Service) -> Iterator[Fault]:
    """Look for variables that are nothing in an empty environment."""
    seen = set()
    for where, text in variables_of(service.raw):
        for match in _BRACED.finditer(text):
            name, operator = match["name"] or match["bare"], match["operator"] or ""
            if not name or name in seen or operator in {":-", "-", ":+", "+"}:
                continue
            if operator.endswith("?") and is_secret_name(name):
                continue  # a key that must be given has no default: that is the point of it
            seen.add(name)
            yield Fault(title=f"${name} has no default", at=service.at(*where), shown=text)


def variable_unreadable(service: Service) -> Iterator[Fault]:
    """Look for a `$` that Compose does not understand."""
    for where, text in variables_of(service.raw):
        try:
            list(template.variables(text))
        except ValueError as error:
            yield Fault(title=str(error), at=service.at(*where), shown=text)


def volume_undeclared(service: Service) -> Iterator[Fault]:
    """Look for named volumes that the file does not declare."""
    declared = mapping(service.document.tree.get("volumes"))
    for place, volume in enumerate(sequence(service.raw.get("volumes"))):
        name = _named(service, volume)
        if name and name not in declared:
            yield Fault(title=f"volume {name} is declared nowhere", at=service.at("volumes", place), shown=name)


def fixed_name(service: Service) -> Iterator[Fault]:
    """Look for `container_name:`."""
    if "container_name" in service.raw:
        yield Fault(title=f"{service.name} has a fixed container name", at=service.at("container_name"))


def version_key(service: Service) -> Iterator[Fault]:
    """Look for the `version:` of old."""
    if "version" in service.document.tree:
        yield Fault(title="`version:` means nothing any more", at=service.document.at("version"))


def mounts(service: Service) -> Iterator[tuple[int, str, str]]:
    """Yield each mount: its place, its source, its target."""
    for place, volume in enumerate(sequence(service.raw.get("volumes"))):
        if isinstance(volume, str):
            source, _, rest = service.document.text(volume).partition(":")
            yield place, source if rest else "", rest.partition(":")[0] or source
        else:
            data = mapping(volume)
            if data.get("type", "volume") in {"volume", "bind"}:
                yield place, service.document.text(data.get("source")), service.document.text(data.get("target"))


def _binds(service: Service) -> Iterator[tuple[int, str]]:
    for place, source, _ in mounts(service):
        if source.startswith((".", "/", "~")) and source != "/var/run/docker.sock":
            yield place, source


def _named(service: Service, volume: object) -> str:
    if isinstance(volume, str):
        source, colon, _ = service.document.text(volume).partition(":")
        return source if colon and not source.startswith((".", "/", "~")) else ""
    data = mapping(volume)
    return service.document.text(data.get("source")) if data.get("type") == "volume" else ""


def _commit(tag: str) -> bool:
    return re.search(r"[0-9a-f]{40}", tag) is not None


def _raw(service: Service, where: tuple[int | str, ...]) -> object:
    data: object = service.raw
    for part in where:
        data = data[part]  # type: ignore[index] # the path came from this tree
    return str(data)


RULES = (
    Rule(
        code="build-section",
        severity="error",
        group=GROUP,
        about="No `build:`: the image is there, or is pulled.",
        why="a server that has only this file has nothing to build from",
        fix="image: NAME, and x-stack.build for what is built here",
        source=_COMPOSE + "#build",
        check=build_section,
    ),
    Rule(
        code="env-file",
        severity="error",
        group=GROUP,
        about="No `env_file:`: values stand in `environment:`, as `${NAME:-default}`.",
        why="the file that it names is not there on a server that has only this one",
        fix="environment: {NAME: ${NAME:-default}}",
        source=_COMPOSE + "#env_file",
        check=env_file,
    ),
    Rule(
        code="other-file",
        severity="error",
        group=GROUP,
        about="No `extends:`, no `include:`, no configs or secrets out of files.",
        why="the file that it names is not there on a server that has only this one",
        fix="write what it says into this file; a config may have `content:`, a secret `environment:`",
        source="https://docs.docker.com/reference/compose-file/include/",
        check=other_file,
    ),
    Rule(
        code="repository-path",
        severity="error",
        group=GROUP,
        about="No mount of a path beside the file.",
        why="Docker makes an empty folder of that name on a server that has only this file",
        fix="put it into the image, or use a named volume",
        source=_COMPOSE + "#volumes",
        check=repository_path,
    ),
    Rule(
        code="host-path",
        severity="warning",
        group=GROUP,
        about="No mount of a folder of one machine.",
        why="the folder is not there on the next one, or belongs to somebody else",
        fix="a named volume: cache:/cache",
        source=_COMPOSE + "#volumes",
        check=host_path,
    ),
    Rule(
        code="command-text",
        severity="error",
        group=GROUP,
        about="`command:` and `entrypoint:` are lists.",
        why="a text is split by rules of its own, and a value with a blank in it falls apart",
        fix="command: [--flag, value]",
        source=_COMPOSE + "#command",
        check=command_text,
    ),
    Rule(
        code="empty-word",
        severity="error",
        group=GROUP,
        about="No word of the command is empty, in an empty environment.",
        why="the engine takes an empty word for a value, or stops at it",
        fix="give the variable a default, or leave the word out",
        source=_COMPOSE + "#command",
        check=empty_word,
    ),
    Rule(
        code="image-missing",
        severity="error",
        group=GROUP,
        about="Every service has an `image:`.",
        why="there is nothing to run",
        fix="image: ${IMAGE:-NAME:TAG}",
        source=_COMPOSE + "#image",
        check=image_missing,
    ),
    Rule(
        code="image-unpinned",
        severity="error",
        group=GROUP,
        about="The tag is a version, or there is a digest; a tag that moves stands in a variable, which can be pinned.",
        why="what was measured yesterday is not what is pulled tomorrow",
        fix="image: NAME:VERSION, or NAME@sha256:…",
        source="https://docs.docker.com/build/building/best-practices/#pin-base-image-versions",
        check=image_unpinned,
    ),
    Rule(
        code="variable-without-default",
        severity="error",
        group=GROUP,
        about="Every variable has a default, or is a secret that is asked for with `${NAME:?message}`.",
        why="in an empty environment it is nothing, or Compose stops",
        fix="${NAME:-default}",
        source="https://docs.docker.com/reference/compose-file/interpolation/",
        check=variable_without_default,
    ),
    Rule(
        code="variable-unreadable",
        severity="error",
        group=GROUP,
        about="Every `$` begins a variable, or is written `$$`.",
        why="Compose refuses the file",
        fix="$$ for a dollar sign",
        source="https://docs.docker.com/reference/compose-file/interpolation/",
        check=variable_unreadable,
    ),
    Rule(
        code="volume-undeclared",
        severity="error",
        group=GROUP,
        about="Every named volume is declared under `volumes:`.",
        why="Compose refuses the file: «refers to undefined volume»",
        fix="volumes: {NAME: }",
        source="https://docs.docker.com/reference/compose-file/volumes/",
        check=volume_undeclared,
    ),
    Rule(
        code="fixed-name",
        severity="warning",
        group=GROUP,
        about="No `container_name:`.",
        why="two projects on one machine cannot both have it",
        fix="leave it out; `docker compose ps` finds the container",
        source=_COMPOSE + "#container_name",
        check=fixed_name,
    ),
    Rule(
        code="version-key",
        severity="warning",
        group=GROUP,
        about="No `version:`.",
        why="Compose warns of it at every command",
        fix="leave it out",
        source="https://docs.docker.com/reference/compose-file/version-and-name/",
        check=version_key,
    ),
)

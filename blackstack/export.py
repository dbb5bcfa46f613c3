"""A stack as a folder for a server that has never seen this repository: pure text, written by who asks for it.

Compose reads ``compose.yaml`` and ``.env`` of the folder it is called in by itself
(https://docs.docker.com/compose/how-tos/environment-variables/envvars-precedence/), hence the names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from blackstack import pins
from blackstack.archive import Record
from blackstack.catalog import Stack, settle
from blackstack.catalog.settings import COMMON
from blackstack.errors import UsageError
from blackstack.registry import parse

SUMS = "SHA256SUMS"
_MARK = "# blackstack export of "  # the first line of the sums; sha256sum passes over it
_ABOUT_ITS_TWIN = re.compile(r"The same defaults stand in [^\n]*(?:\n#[^\n]*)*")
_README = Path(__file__).with_name("export_readme.md")


def folder_of(stack: Stack, *, profile: str | None, date: str, archive: Record | None) -> dict[str, str]:
    """Return the files of an export by name.

    Args:
        stack: what to export.
        profile: a variant of it, whose values are written into ``.env``.
        date: when, as ISO 8601.
        archive: what the image is kept in, where there is one.

    Raises:
        UsageError: an unknown profile, or a file that cannot be edited safely.
    """
    env = _env(stack, profile)
    files = {"compose.yaml": stack.path.read_text(encoding="utf-8"), ".env": env}
    files["README.md"] = _readme(stack, profile, date, archive)
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}" for name, text in files.items()]
    return {**files, SUMS: "\n".join([f"{_MARK}{stack.name}", *lines]) + "\n"}


def refuse_what_is_not_ours(folder: Path) -> None:
    """Pass a folder that is new, empty, or an export as it was written.

    Raises:
        UsageError: somebody's files would be lost.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"--out takes a folder, and {folder} is a file")
    there = {path.name for path in folder.iterdir()}
    if not there:
        return
    sums = folder / SUMS
    text = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
    head, *lines = text.splitlines() or [""]
    if not head.startswith(_MARK):
        raise UsageError(
            f"{folder} is not empty, and no export of ours",
            why=f"there: {', '.join(sorted(there)[:5])}",
            fix="--out with a new folder",
        )
    known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    foreign = sorted(there - set(known) - {SUMS})
    changed = sorted(name for name, digest in known.items() if name in there and _digest(folder / name) != digest)
    if foreign or changed:
        raise UsageError(
            f"{folder} is an export that was changed since",
            why=[f"changed: {', '.join(changed)}" if changed else "", f"new: {', '.join(foreign)}" if foreign else ""],
            fix="--out with a new folder, or move your changes away",
        )


def _env(stack: Stack, profile: str | None) -> str:
    """Return the env file with its comments: the profile's values in it, the values of secrets never."""
    path = pins.env_file(stack)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    text = _ABOUT_ITS_TWIN.sub("Compose reads this file by itself.", text, count=1)
    common = stack.root / COMMON
    shared = pins.values_of(common.read_text(encoding="utf-8")) if common.is_file() else {}
    values = pins.values_of(text)
    added = {key: value for key, value in shared.items() if key in stack.defaults and key not in values}
    if profile and profile in stack.x.profiles and (extra := stack.x.profiles[profile].extra):
        raise UsageError(
            f"profile {profile} has words that no knob has, and an export has only knobs",
            why=extra,
            fix=f"add them to the server's command: inv export --stack {stack.name}, then edit compose.yaml",
        )
    chosen = settle(stack, profile=profile, overrides=(), from_shell={}) if profile else {}  # refuses unknown names
    added |= {key: str(value) for key, value in (stack.x.profiles[profile].set.items() if profile and chosen else ())}
    for key, value in added.items():
        text = pins.with_value(text, key, value, where=path.name)
    idle = [key for key in pins.values_of(text) if key not in stack.defaults]  # of the build, which is over
    for key in idle:
        text = pins.without(text, key)
    for key in _secrets(stack):
        about = stack.x.knobs[key].about
        text = f"{pins.without(text, key).rstrip()}\n\n# {about[:1].upper()}{about[1:]}.\n#{key}=\n"
    return re.sub(r"\n{3,}", "\n\n", text.lstrip("\n"))


def _secrets(stack: Stack) -> list[str]:
    return [key for key, knob in stack.x.knobs.items() if knob.type == "secret" and key in stack.defaults]


def _readme(stack: Stack, profile: str | None, date: str, archive: Record | None) -> str:
    image = parse(stack.defaults[pins.KNOB])
    secrets = [f"`{key}`" for key in _secrets(stack)]
    values: Mapping[str, str] = pins.values_of(_env(stack, profile))
    needs = stack.x.needs
    asked = [f"compute capability {needs.compute_capability}" if needs.compute_capability else ""]
    asked += [f"driver {needs.driver} or newer" if needs.driver else ""]
    gpu = f", the NVIDIA Container Toolkit, and a GPU with {needs.vram_gib:g} GiB" if needs.vram_gib else ""
    return _README.read_text(encoding="utf-8").format(
        title=stack.x.title + (f" ({profile})" if profile else ""),
        stack=stack.name,
        date=date,
        gpu=", ".join([gpu, *(one for one in asked if one)]) if gpu else "",
        get=_how_to_get(stack, archive),
        ready=f"{stack.x.ready_s:g}",
        address=values.get("BIND_ADDRESS") or stack.defaults.get("BIND_ADDRESS", "127.0.0.1"),
        port=values.get("PORT") or stack.defaults.get("PORT", "8000"),
        model=values.get("SERVED_MODEL_NAME") or stack.x.model,
        secrets=f" No secret was exported: write {' and '.join(secrets)} there." if secrets else "",
        image=image,
        pinned=": its digest says exactly which" if image.digest else "",
        status=stack.x.status,
        evidence=stack.x.evidence,
    )


def _how_to_get(stack: Stack, archive: Record | None) -> str:
    image = stack.defaults[pins.KNOB]
    kept, identity = (archive.file, archive.image_id) if archive else (f"{stack.name}-ID.tar.zst", "sha256:ID")
    name = pins.kept_name(stack.name, identity) if archive and parse(image).digest else image
    loaded = (f"docker load --input {kept}", f"docker tag {identity} {name}")
    if stack.x.build is None and not image.startswith(f"{pins.KEPT_HERE}/"):
        rescue = f"# Where no registry has it any more: {loaded[0]} && {loaded[1]}" if archive else ""
        rescue += f"   (then IMAGE={name} in .env)" if archive and name != image else ""
        return "\n".join(["# 2. the image", f"docker pull {image}", *([rescue] if rescue else [])])
    made = "" if archive else f": inv archive --stack {stack.name} where blackstack is; docker load prints its ID"
    return "\n".join([f"# 2. the image, no registry has it{made}", *loaded])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

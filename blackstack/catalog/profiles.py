"""Profiles of this machine: found by `inv tune` or `inv ladder`, kept in ``env/profiles/STACK.yaml``, ignored by git.

The file is written as the block ``profiles:`` of a stack is, so that what proves itself can be moved there.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from blackstack.catalog.schema import Profile, XStack
from blackstack.errors import UsageError
from blackstack.files import write_whole

FOLDER = "env/profiles"
_HEAD = "# Profiles found on this machine; written by `inv tune` and `inv ladder`, used by `inv up --profile NAME`.\n"


def path_of(root: Path, stack: str) -> Path:
    """Return the file of a stack's local profiles; it need not exist."""
    return root / FOLDER / f"{stack}.yaml"


def with_local_profiles(x: XStack, path: Path) -> XStack:
    """Return the block with this machine's profiles added.

    Raises:
        UsageError: the file has faults; it lists them all.
    """
    found = _read(path)
    profiles, faults = dict(x.profiles), []
    for name, data in found.items():
        try:
            profile = Profile.model_validate(data)
        except ValidationError as error:
            faults += [f"{name}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            continue
        faults += [f"{name} is a profile of the stack's own"] if name in x.profiles else []
        for key, value in profile.set.items():
            wrong = x.knobs[key].fault(str(value)) if key in x.knobs else "is no knob"
            faults += [f"{name}: {key}={value}: {wrong}"] if wrong else []
        profiles[name] = profile
    if faults:
        raise _faulty(path, faults)
    return x.model_copy(update={"profiles": profiles})


def kept_names(path: Path) -> frozenset[str]:
    """Return the names of this machine's profiles of a stack.

    Raises:
        UsageError: the file is no mapping.
    """
    return frozenset(_read(path))


def keep_profile(path: Path, name: str, profile: Profile) -> None:
    """Write a profile into the file, in the place of an older one of its name; whole or not at all."""
    data = {**_read(path), name: profile.model_dump(mode="json", exclude_defaults=True)}
    text = io.StringIO()
    YAML(typ="safe").dump(data, text)
    write_whole(path, _HEAD + text.getvalue())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = YAML(typ="safe").load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise _faulty(path, str(error).splitlines()) from error
    if not isinstance(data, Mapping | None):
        raise _faulty(path, ["it is no mapping of names to profiles"])
    return {str(name): value for name, value in (data or {}).items()}


def _faulty(path: Path, faults: list[str]) -> UsageError:
    place = f"{FOLDER}/{path.name}"
    return UsageError(f"{place} cannot be used", why=faults, fix=f"mend it, or do without it: rm {place}")

"""What a registry keeps, read: indexes, manifests, configurations. All of it is somebody else's JSON.

Formats: https://github.com/opencontainers/image-spec/blob/main/spec.md, and Docker's older names for the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from blackstack.registry.reference import Reference
from blackstack.registry.refusal import RegistryError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join((*_INDEXES, *_IMAGES))


def digest_of(body: bytes, image: Reference, *said: str | None) -> str:
    """Return the digest of what came.

    Raises:
        RegistryError: it is another one than was said.
    """
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    for one in said:
        if one and one.startswith("sha256:") and one != digest:
            raise RegistryError(f"{image.registry} sent something else than it said", why=f"{one}, got {digest}")
    return digest


def mapping(body: bytes, image: Reference) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        RegistryError: it is none.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise RegistryError(f"{image.registry} sent no JSON", why="is something on the way, such as a login page?")
    return data


def manifest(body: bytes, kind: str, image: Reference) -> dict[str, Any]:
    """Return an index, which has ``manifests``, or a manifest, which has a ``config``.

    Raises:
        RegistryError: it is neither.
    """
    data = mapping(body, image)
    kind = str(data.get("mediaType") or kind).partition(";")[0]
    if kind in _INDEXES:
        return {"manifests": [], **data}
    if not {"manifests", "config"} & set(data):
        raise RegistryError(f"{image} is of a kind that is not known here", why=kind or "it does not say which")
    return data


def entries(index: Mapping[str, Any], image: Reference) -> Iterator[dict[str, Any]]:
    """Yield what an index lists.

    Raises:
        RegistryError: it is no list of JSON objects.
    """
    listed = index["manifests"] or []
    if not isinstance(listed, list):
        raise _misshapen(image)
    yield from (part(one, image) for one in listed)


def platform(data: Mapping[str, Any]) -> str:
    """Return the machine, such as ``linux/amd64``, that an index's entry or a configuration is for."""
    known = data.get("platform", data)
    known = known if isinstance(known, dict) else {}
    return f"{known.get('os', 'unknown')}/{known.get('architecture', 'unknown')}"


def digest_in(data: object, image: Reference) -> str:
    """Return the digest that a part of a manifest names; it will be part of a path.

    Raises:
        RegistryError: it names none.
    """
    digest = str(part(data, image).get("digest", ""))
    if not DIGEST.fullmatch(digest):
        raise _misshapen(image)
    return digest


def part(data: object, image: Reference) -> dict[str, Any]:
    """Return a part that has to be a JSON object; one that is not there is an empty one.

    Raises:
        RegistryError: it is something else.
    """
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _misshapen(image)
    return data


def _misshapen(image: Reference) -> RegistryError:
    return RegistryError(f"{image.registry} sent something that has not the shape of a manifest")

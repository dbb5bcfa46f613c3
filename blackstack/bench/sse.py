"""Server-sent events with OpenAI's JSON in them: what one event means.

Everything here may be slow. Nearly all events take the fast path of :mod:`blackstack.bench.shape`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TEXT_KEYS: Final = (
    "text",
    "content",
    "reasoning_content",
    "reasoning",
)  # reasoning is text that a user waits for


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event, understood.

    Attributes:
        text: what it adds to the answer; empty for role-only chunks, usage, comments and keep-alives.
        error: the message of an error event.
        done: it is ``[DONE]``.
        finish: ``finish_reason``, where it is given.
        usage: the server's token counts, where they are given.
        data: it has data at all; comments have none.
    """

    text: str = ""
    error: str | None = None
    done: bool = False
    finish: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    data: bool = True


class MalformedEventError(ValueError):
    """The data of an event is not the JSON that was promised."""


NOTHING = Event(data=False)
DONE = Event(done=True)


def read_event(raw: bytes) -> Event:
    """Understand one event, given without the empty line that ends it; line ends are LF."""
    fields: dict[bytes, bytes] = {}
    for line in raw.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        fields[name] = fields[name] + b"\n" + value if name in fields else value
    if b"error" in fields:  # llama.cpp had a field of this name
        return Event(error=_message(fields[b"error"]))
    payload = fields.get(b"data")
    if payload is None:
        return NOTHING
    if payload.strip() == b"[DONE]":
        return DONE
    if fields.get(b"event") == b"error":
        return Event(error=_message(payload))
    try:
        body = json.loads(payload)
    except ValueError as error:
        raise MalformedEventError(f"{error}: {payload[:80]!r}") from None
    if not isinstance(body, dict):
        raise MalformedEventError(f"not an object: {payload[:80]!r}")
    if body.get("error") or body.get("object") == "error":
        return Event(error=_message(payload))
    return _completion(body)


def _completion(body: dict[str, Any]) -> Event:
    text: list[str] = []
    finish: str | None = None
    for choice in body.get("choices") or ():
        if not isinstance(choice, dict):
            raise MalformedEventError(f"a choice that is not an object: {choice!r:.80}")
        finish = choice.get("finish_reason") or finish
        delta = choice.get("delta")
        source = delta if isinstance(delta, dict) else choice
        text += [value for key in TEXT_KEYS if isinstance(value := source.get(key), str)]
        for call in source.get("tool_calls") or ():
            text.append(str((call.get("function") or {}).get("arguments") or ""))
    usage = body.get("usage")
    return Event(text="".join(text), finish=finish, usage=usage if isinstance(usage, dict) else {})


def _message(payload: bytes) -> str:
    """Return what an error says, whatever shape it has."""
    try:
        body = json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")[:200]
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or json.dumps(error)
    return str(error)[:200]

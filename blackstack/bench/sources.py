"""Where prompts come from: a built-in set, exact synthetic lengths, or a file."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from blackstack.bench.prompts import SETS, salt_text
from blackstack.errors import UsageError

FILES: Final = (".jsonl", ".json")
_FORM = """--prompts FILE.jsonl: a JSON object a line, as {"prompt": "…", "output_tokens": 64}"""
HUMAN: Final = frozenset({"human", "user"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        text: the last thing that the user says.
        before: the messages before it, for a conversation; only the chat endpoint sends them as such.
        output_tokens: the length of the answer, where the source says it.
        at_s: when a trace has it sent, in seconds from the trace's start.
        later: what the user says after that, for conversations of several turns.
    """

    text: str
    before: tuple[Mapping[str, str], ...] = ()
    output_tokens: int | None = None
    at_s: float | None = None
    later: tuple[str, ...] = ()

    def body(self, *, chat: bool, prefix: str = "") -> dict[str, Any]:
        """Return what a request says, with something before the beginning."""
        if chat:
            messages = [*self.before, {"role": "user", "content": self.text}]
            return {"messages": [{**messages[0], "content": prefix + messages[0]["content"]}, *messages[1:]]}
        return {"prompt": prefix + "".join(f"{message['content']}\n" for message in self.before) + self.text}


def is_file(name: str) -> bool:
    """Tell whether a prompt source is a file and not the name of a set."""
    return name.endswith(FILES)


def usual_requests(arrival: str, source: str, *, otherwise: int) -> int:
    """Return how many requests a run has where nobody said it: a trace is replayed whole."""
    return len(read_file(Path(source))) if arrival == "replay" and is_file(source) else otherwise


def usual_tokens(source: str) -> int | None:
    """Return how long answers are where nobody said it: a set's own length; None where a file says it row by row."""
    return SETS[source].output_tokens if source in SETS else None


def built_in(name: str, *, seed: str) -> Iterator[Prompt]:
    """Yield the prompts of a set for ever, in an order that only the seed decides."""
    draw = random.Random(f"{name}/{seed}")  # noqa: S311 - reproducible, not secret
    prompts = SETS[name].prompts
    while True:
        for text in draw.sample(prompts, len(prompts)):
            yield Prompt(text=text, output_tokens=SETS[name].output_tokens)


def salted(seed: str) -> Iterator[str]:
    """Yield beginnings for ever, no two of them alike."""
    draw = random.Random(f"salt/{seed}")  # noqa: S311 - reproducible, not secret
    while True:
        yield f"{salt_text(draw)} "


def from_file(path: Path) -> Iterator[Prompt]:
    """Yield the prompts of a file for ever, in its order."""
    return cycle(read_file(path))


def read_file(path: Path) -> list[Prompt]:
    """Read JSON lines, or one JSON list as ShareGPT has it.

    Known keys: ``prompt``, ``messages`` or ``conversations`` for the text; ``output_tokens``, ``max_tokens`` or
    ``output_length`` for the length; ``at_s`` (seconds) or ``timestamp`` (milliseconds) for the moment.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.splitlines() if x]
    except OSError as error:
        raise UsageError(f"cannot read {path}", why=error.strerror or str(error), fix=_FORM) from None
    except ValueError as error:
        raise UsageError(f"{path} is neither JSON lines nor a JSON list", why=str(error), fix=_FORM) from None
    prompts = [prompt for row in rows if (prompt := _prompt(row)) is not None]
    if not prompts:
        raise UsageError(f"{path} has no prompts", why="no row has prompt, messages or conversations", fix=_FORM)
    return prompts


def _prompt(row: object) -> Prompt | None:
    if not isinstance(row, Mapping):
        return None
    messages = _messages(row)
    if not messages:
        return None
    length = next((row[key] for key in ("output_tokens", "max_tokens", "output_length") if key in row), None)
    at_s = row["at_s"] if "at_s" in row else row["timestamp"] / 1000 if "timestamp" in row else None
    turns = [turn for turn in row.get("conversations") or () if turn.get("from") in HUMAN]
    later = tuple(str(turn.get("value", "")) for turn in turns[1:])
    before = tuple(messages[:-1])
    return Prompt(text=messages[-1]["content"], before=before, output_tokens=length, at_s=at_s, later=later)


def _messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row's messages up to the last that a user says."""
    if isinstance(row.get("prompt"), str):
        return [{"role": "user", "content": row["prompt"]}]
    messages = [dict(message) for message in row.get("messages") or ()]
    for turn in row.get("conversations") or ():
        role = "user" if turn.get("from") in HUMAN else "assistant"
        messages.append({"role": role, "content": str(turn.get("value", ""))})
    if "conversations" in row:  # an answer is in the file: ask what it answers first
        return messages[:1] if messages and messages[0]["role"] == "user" else []
    while messages and messages[-1].get("role") != "user":
        messages.pop()
    return messages

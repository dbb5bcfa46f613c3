"""The words of an answer, and the events that carry them."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Any, Final

from simulator.behaviour import Behaviour, Fault

WORDS: Final = [
    "the",
    "sea",
    "was",
    "calm",
    "and",
    "the",
    "small",
    "boat",
    "moved",
    "slowly",
    "along",
    "the",
    "coast",
    "while",
    "gulls",
    "cried",
    "over",
    "old",
    "stone",
    "houses",
    "where",
    "a",
    "lamp",
    "still",
    "burned",
    "behind",
    "one",
    "window",
    "and",
    "somebody",
    "sang",
    "about",
    "the",
    "long",
    "road",
    "home",
    "before",
    "winter",
    "came",
]
GARBAGE: Final = "!!!!"
PHRASE: Final = ["A", ":", " [", "1", "0", "0", "]", "\n\n"]  # SmolLM2-135M was seen to answer so

# So that the client's quality questions have right answers here: arithmetic, copying, Korean, JSON.
ANSWERS: Final = (
    (re.compile(r"17 \+ 25"), "42"),
    (re.compile(r"7 \* 8"), "56"),
    (re.compile(r"zebra"), "zebra-4711-quartz"),
    (re.compile(r"수도"), "서울"),
    (re.compile(r"JSON"), '{"name": "Ada", "age": 36}'),
)


def words(number: int, count: int, prompt: str = "", fault: Fault | None = None, loops: int = 0) -> list[str]:
    """Return the tokens of the n-th answer, the same for every run."""
    if fault == "garbage":
        return [GARBAGE] * count
    if fault == "phrase" or (loops and zlib.crc32(prompt.encode()) % loops == 0):
        return list(islice(cycle(PHRASE), count))
    for pattern, answer in ANSWERS:
        if pattern.search(prompt):
            return [answer]
    draw = random.Random(number)  # noqa: S311 - deterministic
    return [f" {draw.choice(WORDS)}" for _ in range(count)]


def events(
    behaviour: Behaviour, body: Mapping[str, Any], tokens: list[str], *, chat: bool, number: int
) -> Iterator[tuple[int, bytes]]:
    """Yield each event with the number of tokens that it holds; the last two are the usage and ``[DONE]``."""
    head = {
        "id": f"sim-{number}",
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": 1,
        "model": body.get("model"),
    }
    if chat and behaviour.role_chunk:
        yield 0, _event({**head, "choices": [_choice({"role": "assistant", "content": ""}, chat=chat)]})
    for start in range(0, len(tokens), behaviour.tokens_per_event):
        some = tokens[start : start + behaviour.tokens_per_event]
        last = start + behaviour.tokens_per_event >= len(tokens)
        key = "reasoning_content" if behaviour.reasoning and start < len(tokens) // 2 else "content"
        finish = "length" if last else None
        yield (
            len(some),
            _event({**head, "choices": [_choice({key: "".join(some)}, chat=chat, finish=finish)]}),
        )
    if behaviour.usage and (body.get("stream_options") or {}).get("include_usage"):
        prompt = prompt_of(body)
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(tokens)}
        usage["total_tokens"] = sum(usage.values())
        yield 0, _event({**head, "choices": [], "usage": usage})
    yield 0, b"data: [DONE]\n\n"


def prompt_of(body: Mapping[str, Any]) -> str:
    """Return all the text of a request."""
    if "messages" in body:
        return " ".join(str(message.get("content")) for message in body["messages"])
    return str(body.get("prompt", ""))


def _choice(delta: dict[str, str], *, chat: bool, finish: str | None = None) -> dict[str, Any]:
    if chat:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"index": 0, "text": next(iter(delta.values())), "logprobs": None, "finish_reason": finish}


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"

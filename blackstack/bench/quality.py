"""Is what comes so fast also right? A few questions whose answers can be checked, asked at temperature 0.

They tell a broken kernel or quantisation from a sound one; they do not rank models. A small model misses some of
them, so the score is reported and only degenerate text fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from blackstack.bench.garbage import degenerate
from blackstack.bench.probe import fetch
from blackstack.bench.reading import OK
from blackstack.bench.request import Envelope
from blackstack.bench.stream import Dialer
from blackstack.bench.target import Target

TOKENS: Final = 48
PATIENCE_S: Final = 120.0


def _has_json(text: str) -> bool:
    """Tell whether a text holds a JSON object with the name and the age asked for."""
    found = re.search(r"\{.*?\}", text, re.DOTALL)
    try:
        body = json.loads(found.group()) if found else None
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("name") == "Ada" and body.get("age") == 36  # noqa: PLR2004


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question, and how to know a right answer."""

    kind: str
    text: str
    right: Callable[[str], bool]


QUESTIONS: Final = (
    Question(kind="arithmetic", text="What is 17 + 25? Answer with the number only.", right=lambda said: "42" in said),
    Question(kind="arithmetic", text="What is 7 * 8? Answer with the number only.", right=lambda said: "56" in said),
    Question(
        kind="copying",
        text="Repeat exactly, and nothing else: zebra-4711-quartz",
        right=lambda said: "zebra-4711-quartz" in said,
    ),
    Question(
        kind="korean", text="대한민국의 수도는 어디입니까? 한 단어로 답하세요.", right=lambda said: "서울" in said
    ),
    Question(
        kind="json",
        text='Write a JSON object with the keys "name" (the value is Ada) and "age" (the value is 36). Only JSON.',
        right=_has_json,
    ),
)


async def examine(target: Target) -> dict[str, Any]:
    """Ask all questions, one after the other, and return the score, ready for JSON."""
    dialer, envelope = Dialer(target.address), Envelope(target, target.address)
    answers = [await _ask(dialer, envelope, target, question) for question in QUESTIONS]
    return {
        "asked": len(answers),
        "right": sum(answer["right"] for answer in answers),
        "degenerate": sum(bool(answer["degenerate"]) for answer in answers),
        "answers": answers,
    }


async def _ask(dialer: Dialer, envelope: Envelope, target: Target, question: Question) -> dict[str, Any]:
    message = {"role": "user", "content": question.text}
    body = {"model": target.model, "messages": [message], "max_tokens": TOKENS, "temperature": 0}
    said, problem = "", ""
    try:
        page = await fetch(dialer, envelope.post("/v1/chat/completions", body), timeout_s=PATIENCE_S)
        if page.status == OK:
            told = page.json()["choices"][0]["message"]
            said = told.get("content") or told.get("reasoning_content") or told.get("reasoning") or ""
        else:
            problem = f"HTTP {page.status}"
    except (OSError, TimeoutError, TypeError, LookupError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    return {
        "kind": question.kind,
        "right": question.right(said),
        "said": said[:200],
        "degenerate": degenerate(said, TOKENS) if said else "",
        "problem": problem,
    }

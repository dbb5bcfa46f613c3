"""The prompts that are built in. Each set has its own natural length, and each prompt its own beginning."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Prompts of one kind.

    Attributes:
        about: one line for the help.
        output_tokens: how long an answer of this kind is, where the workload does not say.
    """

    about: str
    output_tokens: int
    prompts: tuple[str, ...]


SETS: Final[dict[str, PromptSet]] = {
    "chat": PromptSet(
        about="short questions",
        output_tokens=64,
        prompts=(
            "Why is the sky blue in the day and red in the evening?",
            "Name three things that a traveller should not forget, and say why.",
            "What is the difference between weather and climate?",
            "How does a refrigerator keep food cold?",
            "Explain to a child why the moon changes its shape.",
            "Give me a simple recipe for a soup with potatoes and leeks.",
            "What should I look at before I buy a used bicycle?",
            "Why do ships made of steel float?",
        ),
    ),
    "code": PromptSet(
        about="a Python function, 150 tokens (the project's first measurements used it)",
        output_tokens=150,
        prompts=(
            "Write a Python function that returns the n-th Fibonacci number, with a docstring and type hints.",
            "Write a Python function that checks whether a string is a palindrome, ignoring case and spaces.",
            "Write a Python function that merges two sorted lists into one sorted list.",
            "Write a Python class for a stack of integers with push, pop and peek.",
            "Write a Python function that counts the words in a text file and returns the ten most common.",
        ),
    ),
    "long": PromptSet(
        about="an essay, 200 tokens (the project's first measurements used it)",
        output_tokens=200,
        prompts=(
            "Write an essay about how artificial intelligence may change the work of doctors.",
            "Write an essay about the history of the printing press and what it changed in Europe.",
            "Write an essay about why cities grow beside rivers.",
            "Write an essay about the difference between solitude and loneliness.",
        ),
    ),
    "korean": PromptSet(
        about="Korean prose, whose letters are several tokens each",
        output_tokens=200,
        prompts=(
            "인공지능이 우리의 일상을 어떻게 바꾸고 있는지 자세히 설명해 주세요.",
            "가을에 산길을 걷는 사람의 마음을 짧은 수필로 써 주세요.",
            "서울의 지하철을 처음 타는 외국인에게 이용 방법을 친절하게 알려 주세요.",
            "김치를 담그는 과정을 처음부터 끝까지 순서대로 써 주세요.",
        ),
    ),
}
NAMES: Final = tuple(SETS)


def salt_text(draw: random.Random) -> str:
    """Return a beginning that no earlier prompt had: a prefix cache ends at the first token that differs."""
    return f"[{draw.getrandbits(32):08x}]"

"""Which words are secrets, by name or by look."""

from __future__ import annotations

import re

_NAME = re.compile(r"(^|[_-])(api[_-]?key|apikey|token|secret|password|passwd|pwd)$", re.IGNORECASE)
_LOOK = re.compile(r"\b(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|ghp_[A-Za-z0-9]{20,}|nvapi-[A-Za-z0-9_-]{20,})")


def is_secret_name(name: str) -> bool:
    """Tell whether a variable or flag of this name holds a secret.

    >>> is_secret_name("VLLM_API_KEY"), is_secret_name("MAX_TOKENS")
    (True, False)
    """
    return _NAME.search(name.lstrip("-")) is not None


def looks_secret(text: str) -> bool:
    """Tell whether a text looks like a key of a well-known service."""
    return _LOOK.search(text) is not None

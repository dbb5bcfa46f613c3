"""A compose file → what will not work, is not safe, or does not stand alone. A rule is a function; all are in RULES.

It reads the file and the engines' flags as data: no Docker, no network, no environment, so that the answer is the
same everywhere. Compose files that know nothing of us (no ``x-stack``) are read too.
"""

from blackstack.lint.examine import examine
from blackstack.lint.rule import Rule
from blackstack.lint.rules import RULES

__all__ = ["RULES", "Rule", "examine"]

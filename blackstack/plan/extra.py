"""Words for the server that no knob has: flags behind its command, variables in its environment.

Written as a shell has it: ``VLLM_ATTENTION_BACKEND=FLASHINFER --block-size 32``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blackstack.errors import UsageError

_VARIABLE = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
# The end of a name tells: HF_TOKEN, AWS_SECRET_ACCESS_KEY, --ssl-keyfile-password; --max-num-batched-tokens counts,
# and so do SGLang's …-per-token and …-first-token.
_SECRET = re.compile(
    r"(?i)(^|[-_])((api|access|private)[-_]?keys?|(?<!per[-_])(?<!first[-_])token|secrets?|passw(or)?ds?)(_file)?$"
)
_LOOKS_SECRET = re.compile(  # as the hub, OpenAI and GitHub hand them out
    r"(?<![\w/.-])(hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[opsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,})", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What is added to a server's own command.

    Attributes:
        flags: words behind the command; of a flag that stands there twice, servers take the last.
        variables: on top of its environment.
    """

    flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.flags or self.variables)


def parse(texts: Sequence[str]) -> Extra:
    """Read texts, each as a shell would: variables first, then flags.

    Raises:
        UsageError: quotes that do not close, a word that is neither, or a secret.
    """
    flags: list[str] = []
    variables: dict[str, str] = {}
    for text in texts:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"--extra {text!r} cannot be read", why=str(error)) from None
        while words and (match := _VARIABLE.fullmatch(words[0])):
            variables[match[1]] = match[2]
            words.pop(0)
        if words and not words[0].startswith("-"):
            raise UsageError(
                f"--extra {text!r} begins with neither a variable nor a flag",
                fix="write it like --extra='--block-size 32' or --extra='OMP_NUM_THREADS=8'",
            )
        flags += words
    _refuse_secrets(flags, variables)
    return Extra(flags=tuple(flags), variables=variables)


def _refuse_secrets(flags: Sequence[str], variables: Mapping[str, str]) -> None:
    """Refuse what is called like a secret or looks like one; the value is never shown."""
    values = list(variables.items())
    name = ""
    for word in flags:
        if word.startswith("-"):
            name, _, value = word.partition("=")
            values.append((name, value))
        else:
            values.append((name, word))
    for name, value in values:
        called = _SECRET.search(name.lstrip("-"))
        if called or _LOOKS_SECRET.search(value):
            raise UsageError(
                f"{name} is a secret and may not stand on a command line"
                if called
                else f"the value of {name} looks like a secret and may not stand on a command line",
                why="everybody on this machine can read command lines, and shells keep a history",
                fix="write it into env/local.env (git-ignored), as API_KEY or HF_TOKEN",
            )

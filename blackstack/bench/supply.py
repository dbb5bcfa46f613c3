"""From a workload to the requests that are sent, and when."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from blackstack.bench import arrivals
from blackstack.bench.conversation import Conversation
from blackstack.bench.request import Envelope, Request
from blackstack.bench.sources import Prompt, built_in, from_file, is_file, read_file, salted
from blackstack.bench.stream import Dialer
from blackstack.bench.synthetic import WORDS, Vocabulary, vocabulary
from blackstack.bench.target import Target
from blackstack.bench.workload import Workload
from blackstack.errors import UsageError

USUAL_TOKENS = 64  # of an answer, where neither the workload nor the prompts say


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What is asked of one target.

    Attributes:
        found: what was learned while preparing, for the result.
        nonce: of this measurement alone. Prompts and their order come from the seed, so that two measurements do the
            same work; what they begin with does not, or the first would fill the prefix cache for the second.
    """

    target: Target
    words: Vocabulary | None = None
    found: dict[str, Any] = field(default_factory=dict)
    nonce: str = field(default_factory=partial(secrets.token_hex, 8))

    @classmethod
    async def of(cls, target: Target, workload: Workload) -> Supply:
        """Prepare: ask the tokenizer where exact lengths are wanted."""
        if workload.input_tokens is None:
            return cls(target=target)
        words = await vocabulary(target, Dialer(target.address))
        next(words.prompts(workload.input_tokens, seed=""))  # complains where it cannot be
        return cls(target=target, words=words, found={"input_tokens_exact": words.exact})

    def requests(self, workload: Workload, *, seed: str) -> Iterator[Request]:
        """Yield requests for ever."""
        envelope = Envelope(self.target, self.target.address)
        common: dict[str, Any] = {
            "model": self.target.model,
            "temperature": workload.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if workload.ignore_eos:
            common["ignore_eos"] = True
        shared = " ".join((WORDS * (workload.shared_prefix // len(WORDS) + 1))[: workload.shared_prefix])
        # Synthetic prompts differ from their second word on, and a salt would change their length.
        salts = salted(f"{self.nonce}/{seed}") if workload.salt and self.words is None else None
        chat = workload.endpoint == "chat"
        prompts = self._prompts(workload, seed=seed)
        for prompt in prompts:
            beginning = f"{shared} " * bool(shared) + (next(salts) if salts else "")
            tokens = workload.output_tokens or prompt.output_tokens or USUAL_TOKENS

            def wrap(body: Mapping[str, Any], tokens: int = tokens) -> Request:
                return envelope.post(workload.path, {**common, "max_tokens": tokens, **body}, output_tokens=tokens)

            if workload.turns > 1:
                words = chain([prompt.text, *prompt.later], (each.text for each in prompts))
                talk = Conversation(said=prompt.before, words=words, turns=workload.turns, wrap=wrap, chat=chat)
                yield talk.request(beginning)
            else:
                yield wrap(prompt.body(chat=chat, prefix=beginning))

    def offsets(self, workload: Workload, *, seed: str) -> Iterator[float]:
        """Yield when an open loop sends, in seconds from its start."""
        if workload.arrival == "replay":
            return iter(self._moments(workload))
        return arrivals.offsets(
            workload.arrival,
            workload.rate or 1.0,
            seed=seed,
            burstiness=workload.burstiness,
            ramp_s=workload.ramp_s,
        )

    def rate(self, workload: Workload) -> float | None:
        """Return how many requests a second are asked for; of a trace its mean, of a closed loop none."""
        if workload.arrival != "replay":
            return workload.rate
        moments = self._moments(workload)[: workload.requests]
        return round((len(moments) - 1) / moments[-1], 4) if moments[-1] > 0 else None

    def _prompts(self, workload: Workload, *, seed: str) -> Iterator[Prompt]:
        if self.words is not None and workload.input_tokens is not None:
            return self.words.prompts(workload.input_tokens, seed=f"{self.nonce}/{seed}" if workload.salt else seed)
        if is_file(workload.prompts):
            return from_file(Path(workload.prompts))
        return built_in(workload.prompts, seed=seed)

    def _moments(self, workload: Workload) -> list[float]:
        prompts = read_file(Path(workload.prompts)) if is_file(workload.prompts) else []
        moments = [prompt.at_s for prompt in prompts if prompt.at_s is not None]
        if not moments or len(moments) < len(prompts) or moments != sorted(moments):
            raise UsageError(
                "there is no trace to replay",
                why="each row of the file needs at_s or timestamp, in ascending order",
                fix="--prompts TRACE.jsonl --arrival replay",
            )
        return [moment - moments[0] for moment in moments]

"""Adds replies up to a run's numbers, one at a time, so that no reply has to be kept."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from operator import sub
from typing import Any

from blackstack.bench.failures import CLASSES
from blackstack.bench.reading import Reply
from blackstack.bench.stats import Distribution, RequestSample, ratio_interval

EXAMPLES = 3  # messages kept of each class of failure
DOUBTS = 1024  # doubtful failures that are kept to be looked at again
TEXTS = 32  # answers kept, to be counted again by the server's tokenizer
MOST_COOLDOWN = 0.5  # of a run: where more than this was cool-down, the load was never full
COLUMNS = ("scheduled_us", "sent_us", "ttft_us", "tpot_us", "e2e_us", "tokens")


class Tally:
    """The sums and distributions of one run. Two of them merge into what one would have been.

    Failed requests are counted by class and touch nothing else.
    """

    def __init__(self) -> None:
        self.ttft = Distribution()
        self.gap = Distribution()
        self.gaps = RequestSample()
        self.tpot = Distribution()
        self.e2e = Distribution()
        self.queue = Distribution()
        self.failures: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.doubtful: list[tuple[Reply, int | None]] = []  # failures that may be none, with what ``add`` was told
        self.looping = 0  # good replies that were doubtful
        self.looping_examples: list[str] = []
        self.given_up = ""  # why the load was ended before its end
        self.output_tokens = 0
        self.input_tokens = 0
        self.cached_tokens = 0
        self.events = 0
        self.uncounted = 0  # replies without the server's own token count
        self.short = 0  # good replies with fewer tokens than were asked for
        self.first_sent_us = 0
        self.last_end_us = 0
        self.gap_sums: list[int] = []  # one a request: the span from its first event to its last
        self.gap_counts: list[int] = []
        self.columns = {name: array("q") for name in COLUMNS}  # one row a good request
        self.turns: dict[int, Distribution] = {}  # TTFT by turn of a conversation
        self.texts: list[tuple[str, int]] = []  # the first answers and their tokens, to be counted again
        self.steady_tokens = 0.0  # that came while the load was full
        self.windows: list[
            tuple[float, int]
        ] = []  # those tokens, and the microseconds in which they came: a process each

    @property
    def good(self) -> int:
        """Return the number of requests that succeeded."""
        return len(self.ttft)

    @property
    def seconds(self) -> float:
        """Return the time from the first request sent to the end of the last answer."""
        return (self.last_end_us - self.first_sent_us) / 1e6

    @property
    def requests(self) -> int:
        """Return the number of requests that ended, well or not."""
        return self.good + self.failures.total()

    def add(self, reply: Reply, until_us: int | None = None) -> None:
        """Add one reply.

        Args:
            reply: good or failed.
            until_us: when there was nothing left to send; what came later is cool-down.
        """
        if not self.first_sent_us or reply.sent_us < self.first_sent_us:
            self.first_sent_us = reply.sent_us
        self.last_end_us = max(self.last_end_us, reply.end_us)
        if reply.failure is not None:
            self.fail(reply.failure.kind, reply.failure.detail)
            if reply.failure.doubtful and len(self.doubtful) < DOUBTS:
                self.doubtful.append((reply, until_us))
            return
        stamps = reply.stamps
        first, last, tpot = stamps[0], stamps[-1], 0
        ttft, e2e = first - reply.scheduled_us, last - reply.scheduled_us
        self.ttft.add((ttft,))
        self.e2e.add((e2e,))
        self.queue.add((reply.sent_us - reply.scheduled_us,))
        if len(stamps) > 1:
            gaps = array("q", map(sub, stamps[1:], stamps))
            self.gap.add(gaps)
            self.gaps.add(reply.sent_us, gaps)
            self.gap_sums.append(last - first)
            self.gap_counts.append(len(stamps) - 1)
            tpot = round(time_per_output_token(last - first, len(stamps), reply.tokens))
            self.tpot.add((tpot,))
        self.output_tokens += reply.tokens
        full = until_us is None or last <= until_us
        self.steady_tokens += reply.tokens if full else reply.tokens * bisect_right(stamps, until_us or 0) / len(stamps)
        if reply.turn:
            self.turns.setdefault(reply.turn, Distribution()).add((ttft,))
        if len(self.texts) < TEXTS:
            self.texts.append((reply.text, reply.tokens))
        self.input_tokens += reply.input_tokens
        self.cached_tokens += reply.cached_tokens
        self.events += len(stamps)
        self.uncounted += not reply.counted
        self.short += reply.tokens < reply.asked_tokens
        row = (reply.scheduled_us, reply.sent_us, ttft, tpot, e2e, reply.tokens)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)

    def fail(self, kind: str, detail: str) -> None:
        """Count a request that failed."""
        self.failures[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES and detail not in examples:
            examples.append(detail)

    def acquit(self) -> None:
        """Count the doubtful failures as what they were found to be: good replies of a model that comes to loop."""
        for reply, until_us in self.doubtful:
            steady = self.steady_tokens
            self.failures["garbage"] -= 1
            self.looping += 1
            said = reply.failure.detail if reply.failure else ""
            if len(self.looping_examples) < EXAMPLES:
                self.looping_examples.append(said)
            self.examples["garbage"] = [line for line in self.examples.get("garbage", ()) if line != said]
            self.add(replace(reply, failure=None), until_us)
            if self.windows:  # they were closed before
                tokens, us = self.windows[0]
                self.windows[0] = (tokens + self.steady_tokens - steady, us)
        self.doubtful = []
        if not self.failures["garbage"]:
            self.examples.pop("garbage", None)

    def only_failures(self) -> Tally:
        """Return what failed, and nothing else."""
        told = Tally()
        told.failures, told.examples, told.given_up = self.failures, self.examples, self.given_up
        return told

    def close_window(self, until_us: int | None) -> None:
        """Say when this process had nothing left to send; None says that it never came to that."""
        if until_us is not None and until_us > self.first_sent_us:
            self.windows.append((self.steady_tokens, until_us - self.first_sent_us))

    def merge(self, other: Tally) -> None:
        """Add all that another process has seen; exact, because every part is a sum or a count."""
        for name in ("ttft", "gap", "gaps", "tpot", "e2e", "queue"):
            getattr(self, name).merge(getattr(other, name))
        for turn, distribution in other.turns.items():
            self.turns.setdefault(turn, Distribution()).merge(distribution)
        self.windows += other.windows
        self.texts = (self.texts + other.texts)[:TEXTS]
        self.steady_tokens += other.steady_tokens
        self.failures.update(other.failures)
        self.given_up = self.given_up or other.given_up
        self.doubtful += other.doubtful
        for kind, said in other.examples.items():
            known = self.examples.setdefault(kind, [])
            known += [line for line in said if line not in known][: EXAMPLES - len(known)]
        for name in ("output_tokens", "input_tokens", "cached_tokens", "events", "uncounted", "short"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        firsts = [us for us in (self.first_sent_us, other.first_sent_us) if us]
        self.first_sent_us = min(firsts, default=0)
        self.last_end_us = max(self.last_end_us, other.last_end_us)
        self.gap_sums += other.gap_sums
        self.gap_counts += other.gap_counts
        for name, column in other.columns.items():
            self.columns[name].extend(column)

    def distributions(self) -> dict[str, Distribution]:
        """Return the distributions under the names that the result gives them."""
        return {
            "ttft_ms": self.ttft,
            "gap_ms": self.gap,
            "tpot_ms": self.tpot,
            "e2e_ms": self.e2e,
            "queue_ms": self.queue,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        seconds = self.seconds
        rate = 1 / seconds if seconds > 0 else 0.0
        steady, cooldown = self._steady(seconds)
        distributions = self.distributions()
        told: dict[str, Any] = {
            "requests": self.requests,
            "ok": self.good,
            "duration_s": round(seconds, 6),
            "requests_per_s": round(self.good * rate, 3),
            "output_tokens": self.output_tokens,
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens_per_s": round(steady, 3),
            "cooldown": cooldown,
            "total_tokens_per_s": round((self.output_tokens + self.input_tokens) * rate, 3),
            "events": self.events,
            "tokens_counted_by": "server" if not self.uncounted else "events",
            "short_replies": self.short,
            "looping_replies": self.looping,
            "looping_examples": self.looping_examples,
        }
        for name, distribution in distributions.items():
            if name == "gap_ms":
                interval = ratio_interval(self.gap_sums, self.gap_counts)
                told[name] = distribution.summary(ci95=interval, independent=False)
                if len(distribution):
                    told[name]["percentile_ci95"] = self.gaps.percentile_intervals(distribution)
            else:
                told[name] = distribution.summary()
        if self.turns:
            told["by_turn"] = [{"turn": turn, "ttft_ms": self.turns[turn].summary()} for turn in sorted(self.turns)]
        told["failures"] = {kind: self.failures[kind] for kind in CLASSES}
        told["failure_examples"] = self.examples
        return told

    def _steady(self, seconds: float) -> tuple[float, dict[str, float]]:
        """Return the throughput without cool-down, and what was left out; of a load that was hardly full, of all."""
        whole = self.output_tokens / seconds if seconds > 0 else 0.0
        shortest = min((us for _, us in self.windows), default=0) / 1e6
        left_out = {"excluded_s": 0.0, "excluded_tokens": 0.0, "output_tokens_per_s_with_it": round(whole, 3)}
        if shortest < MOST_COOLDOWN * seconds or not seconds:
            return whole, left_out
        left_out["excluded_s"] = round(seconds - shortest, 6)
        left_out["excluded_tokens"] = round(self.output_tokens - self.steady_tokens, 1)
        return sum(tokens * 1e6 / us for tokens, us in self.windows), left_out


def time_per_output_token(span: int, events: int, tokens: int) -> float:
    """Return TPOT: the span from first to last event, divided by the tokens that came after the first event.

    Where an event holds several tokens, the first one does so too; as the server does not tell how many, it is taken
    to hold the mean. Dividing by ``tokens - 1`` instead reads low, by 2 % at 4 tokens in each of 32 events.
    """
    later = tokens - tokens / events
    return span / later if later > 0 else float(span)

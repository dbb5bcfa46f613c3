"""A run's numbers: what counts, what does not, and that two processes make one run."""

from __future__ import annotations

from blackstack.bench.failures import CLASSES, Failure
from blackstack.bench.reading import Reply
from blackstack.bench.samples import MOST, histogram, samples
from blackstack.bench.stats import Distribution
from blackstack.bench.tally import Tally, time_per_output_token
from blackstack.bench.watch import Gauge


def reply(sent: int = 0, *, stamps: tuple[int, ...] = (200, 210, 220), failure: Failure | None = None) -> Reply:
    """Return a reply with times in milliseconds."""
    us = [1000 * (sent + stamp) for stamp in stamps]
    return Reply(
        scheduled_us=1000 * sent,
        sent_us=1000 * sent,
        end_us=us[-1],
        stamps=us,
        tokens=len(us),
        counted=True,
        failure=failure,
    )


def test_each_measure_is_what_its_name_says() -> None:
    tally = Tally()
    tally.add(reply(stamps=(200, 210, 240)))

    told = tally.as_dict()

    assert told["ttft_ms"]["mean"] == 200
    assert (told["gap_ms"]["min"], told["gap_ms"]["max"]) == (10, 30)
    assert told["tpot_ms"]["mean"] == 20
    assert told["e2e_ms"]["mean"] == 240
    assert told["output_tokens"] == 3


def test_a_failed_request_is_counted_and_in_no_statistic() -> None:
    tally = Tally()
    tally.add(reply())
    tally.add(reply(sent=1, stamps=(9000, 9001), failure=Failure("cut", "after 2 events")))

    told = tally.as_dict()

    assert told["requests"] == 2
    assert told["ok"] == 1
    assert told["ttft_ms"]["max"] == 200
    assert told["output_tokens"] == 3
    assert told["failures"] == dict.fromkeys(CLASSES, 0) | {"cut": 1}
    assert told["failure_examples"] == {"cut": ["after 2 events"]}


def test_latency_counts_from_the_scheduled_time() -> None:
    late = Reply(scheduled_us=1000, sent_us=51_000, end_us=60_000, stamps=(60_000,), tokens=1, counted=True)
    tally = Tally()
    tally.add(late)

    told = tally.as_dict()

    assert told["ttft_ms"]["mean"] == 59
    assert told["queue_ms"]["mean"] == 50


def test_two_processes_make_one_run() -> None:
    replies = [reply(sent=i, stamps=(100 + i, 120 + 2 * i, 150 + i * i)) for i in range(20)]
    together, left, right = Tally(), Tally(), Tally()
    for i, each in enumerate(replies):
        together.add(each)
        (left if i % 3 else right).add(each)
    left.merge(right)

    assert left.as_dict() == together.as_dict()


def test_samples_are_thinned_and_say_so() -> None:
    tally = Tally()
    for i in range(2 * MOST):
        tally.add(reply(sent=i + 1))

    told = samples(tally)["samples"]

    assert (told["every"], told["of"], len(told["ttft_ms"])) == (2, 2 * MOST, MOST)
    assert told["sent_ms"][:2] == [0, 2]


def test_a_histogram_holds_every_sample_below_its_edge() -> None:
    bins = histogram(Distribution([0, 1, 999, 1000, 1001, 50_000]))

    assert sum(count for _, count in bins) == 6
    assert sum(count for edge, count in bins if edge <= 1.0) == 4


def test_cool_down_is_in_no_throughput_and_said_so() -> None:
    """Two answers of three tokens; when the first has ended nothing is left to send, and the second has one token."""
    tally = Tally()
    tally.add(reply(sent=1, stamps=(100, 200, 300)), until_us=None)
    tally.add(reply(sent=1, stamps=(250, 400, 500)), until_us=301_000)
    tally.close_window(301_000)

    told = tally.as_dict()

    assert told["output_tokens_per_s"] == round(4 / 0.3, 3)
    assert told["cooldown"] == {"excluded_s": 0.2, "excluded_tokens": 2.0, "output_tokens_per_s_with_it": 12.0}


def test_where_the_load_was_hardly_ever_full_all_of_it_counts() -> None:
    tally = Tally()
    tally.add(reply(sent=1, stamps=(100, 400, 500)), until_us=101_000)
    tally.close_window(101_000)

    told = tally.as_dict()

    assert told["output_tokens_per_s"] == 6.0
    assert told["cooldown"]["excluded_s"] == 0


def test_throughputs_of_several_processes_add_up_each_over_its_own_time() -> None:
    parts = [Tally(), Tally()]
    for number, part in enumerate(parts):
        part.add(reply(sent=1, stamps=(100, 200, 300)))
        part.close_window(301_000 - 30_000 * number)
    parts[0].merge(parts[1])

    assert parts[0].as_dict()["output_tokens_per_s"] == round(3 / 0.3 + 3 / 0.27, 3)


def test_tpot_does_not_count_the_tokens_of_the_first_event() -> None:
    """32 events of 4 tokens, 40 ms apart, are 10 ms a token; 31 * 40 / 127 would say 9.76."""
    assert time_per_output_token(31 * 40_000, 32, 128) == 10_000


def test_one_token_an_event_is_the_usual_tpot() -> None:
    assert time_per_output_token(127 * 10_000, 128, 128) == 10_000


def test_delivered_concurrency_leaves_the_tail_out() -> None:
    gauge = Gauge()
    for _ in range(4):
        gauge.up(0)
    gauge.close(100)
    for at in (100, 200, 300, 400):
        gauge.down(at)

    assert gauge.mean == 4
    assert gauge.peak == 4


def test_delivered_concurrency_is_an_average_over_time() -> None:
    gauge = Gauge()
    gauge.up(0)
    gauge.up(50)
    gauge.down(100)

    assert gauge.mean == 1.5

"""A report holds what was measured, escapes what came from outside, and needs no network."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.comparison import compare
from blackstack.report import html, markdown, svg, tables
from blackstack.report.tables import Table, number
from blackstack.results import Record
from tests.unit.records import record

HOSTILE = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script>|`*&lt;"
VOID = {"meta", "img"}  # what SVG leaves empty says so itself


class Page(HTMLParser):
    """Reads a page as a browser would, and complains where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what opens."""
        self.tags.append((tag, dict(attrs)))
        self.open += [tag] * (tag not in VOID)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is empty."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Complain about what closes and was not open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self.words.append(data)


def hostile() -> Record:
    """Return a record in which every text is an attack."""
    one = record(
        HOSTILE,
        asked_for={"stack": HOSTILE, "model": HOSTILE, HOSTILE: HOSTILE, "workload": {"prompts": HOSTILE}},
        found_inside={HOSTILE: [HOSTILE]},
    )
    broken = one.runs[0].model_copy(update={"failures": {HOSTILE: 2}, "failure_examples": {HOSTILE: (HOSTILE,)}})
    return one.model_copy(update={"runs": (broken, *one.runs[1:])})


def test_a_page_has_all_its_sections_and_balanced_tags() -> None:
    first, second = record(repeats=3), record("two", speed=1.25, repeats=3)

    page = Page(html.page([first, second], compare(first, second)))

    sections = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    wanted = "summary comparison curves distributions timeline failures details provenance"
    assert sections == wanted.split()


def test_nothing_is_fetched_from_anywhere() -> None:
    text = html.page([record()])
    page = Page(text)

    fetching = {"src", "href", "action", "data", "poster", "srcset"}
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in fetching]
    assert all(str(link).startswith("#") for link in links)
    assert not re.search(r"@import|url\(|https?://", text)
    assert "default-src 'none'" in text


def test_what_comes_from_outside_is_shown_as_text_and_never_obeyed() -> None:
    page = Page(html.page([hostile(), record("two")]))

    names = [tag for tag, _ in page.tags]
    assert names.count("script") == 1
    assert "img" not in names
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert any(HOSTILE in words for words in page.words)


def test_the_only_script_is_the_one_that_the_policy_allows() -> None:
    text = html.page([record()])

    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (allowed,) = re.findall(r"script-src '([^']+)'", text)
    assert allowed == html.hash_of(script)


def test_figures_of_the_record_stand_in_the_page() -> None:
    one = record()

    text = html.page([one])

    assert number(one.runs[0].output_tokens_per_s) in text
    assert number(one.runs[0].ttft_ms.p50) in text
    assert "None of 80 requests failed" in text


def test_failures_and_a_busy_client_are_not_hidden() -> None:
    one = record()
    client = one.runs[0].client.model_copy(update={"bound": True, "bound_reasons": ("97 % of a core",)})
    broken = one.runs[0].model_copy(
        update={
            "failures": {"sse_error": 7},
            "failure_examples": {"sse_error": ("CUDA out of memory",)},
            "client": client,
        }
    )

    text = html.page([one.model_copy(update={"runs": (broken,)})])

    assert "CUDA out of memory" in text
    assert "97 % of a core" in text


def test_a_reported_figure_says_that_it_was_not_reproduced() -> None:
    told = {"provenance": "reported, not reproduced here", "what": "code", "tokens_per_s": {"low": 136, "high": 136}}

    text = html.page([record("seed", runs=[], reported=[told], complete=False, missing=["ran_on"])])

    assert "reported, not reproduced here" in text
    assert "136" in text


def test_a_run_in_which_nothing_came_back_is_shown_all_the_same() -> None:
    one = record()
    nothing = {"n": 0}
    counts = {"concurrency": 1, "requests": 3, "ok": 0, "duration_s": 0, "output_tokens": 0, "output_tokens_per_s": 0}
    measures = dict.fromkeys(("ttft_ms", "gap_ms", "tpot_ms", "e2e_ms"), nothing)
    empty = record(runs=[{**counts, **measures, "failures": {"connect": 3}}])

    assert "connect" in html.page([empty])
    assert "connect" in html.page([one, empty])


def test_markdown_has_the_tables() -> None:
    first, second = record(repeats=3), record("two", speed=1.25, repeats=3)

    text = markdown.page([first, second], compare(first, second))

    assert "| load | repeat | good |" in text
    assert "| B against A |" in text
    assert "faster than" in text


def test_a_cell_cannot_break_out_of_its_table() -> None:
    table = Table(title="", heads=("a", "b"), rows=((HOSTILE, "one\ntwo"),))

    (_, _, line) = table.markdown().splitlines()
    assert len(re.findall(r"(?<!\\)\|", line)) == 3
    assert "<script" not in line.replace("\\<", "")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=2, max_size=2))
def test_csv_comes_back_as_it_was(cells: list[str]) -> None:
    read = list(csv.reader(io.StringIO(Table(title="", heads=("a", "b"), rows=(tuple(cells),)).csv(), newline="")))

    assert [cell.removeprefix("'") for cell in read[1]] == [cell.removeprefix("'") for cell in cells]


@pytest.mark.parametrize("formula", ["=HYPERLINK(1)", "+1+1", "@SUM(A1)", "-1+2"])
def test_csv_holds_no_formula(formula: str) -> None:
    assert f"'{formula}" in Table(title="", heads=("a",), rows=((formula,),)).csv()


def test_a_negative_number_stays_one() -> None:
    assert "\r\n-1.5\r\n" in Table(title="", heads=("a",), rows=(("-1.5",),)).csv()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0123, "0.012"), (9.9, "9.90"), (44.31, "44.3"), (262.94, "262.9"), (12_345, "12,345")],
)
def test_numbers_have_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert number(value) == shown


@given(st.floats(0.001, 1e6), st.floats(1.01, 1e6))
def test_ticks_are_round_few_and_within_the_axis(low: float, factor: float) -> None:
    for scale in (svg.linear([low, low * factor], 0, 100), svg.logarithmic([low, low * factor], 0, 100)):
        ticks = scale.ticks()
        assert 1 <= len(ticks) <= 16
        assert all(scale.low * 0.999 - 1e-9 <= tick <= scale.high * 1.001 for tick in ticks)
        assert ticks == sorted(ticks)


def test_a_scale_puts_what_lies_outside_at_its_border() -> None:
    scale = svg.Scale(low=1, high=100, begin=10, end=110, log=True)

    assert [scale(value) for value in (0, 1, 10, 100, 1e9)] == [10, 10, 60, 110, 110]


def test_a_picture_escapes_what_is_written_into_it() -> None:
    canvas = svg.Canvas(10, 10, HOSTILE)
    canvas.text(1, 1, HOSTILE, of=HOSTILE, at=HOSTILE)
    canvas.dot(1, 1, 1, of=HOSTILE, tip=HOSTILE)

    page = Page(canvas.render(of=HOSTILE))

    assert [tag for tag, _ in page.tags] == ["svg", "text", "circle", "title"]
    assert page.words == [HOSTILE, HOSTILE]
    assert page.tags[0][1]["aria-label"] == HOSTILE


def test_few_samples_are_marked() -> None:
    assert "(few)" in tables.summary(record()).rows[0][4]


def test_of_repeats_the_middle_one_is_told_and_never_the_best() -> None:
    one = record(repeats=3, loads=(4,))
    rates = sorted(run.output_tokens_per_s for run in one.runs)

    tiles = html.page([one]).split('<ul class="tiles">')[1].split("</ul>")[0]

    assert f"<b>{number(rates[1])}</b>" in tiles
    assert f"<b>{number(rates[2])}</b>" not in tiles
    assert f"median of 3 repeats, {number(rates[0])} to {number(rates[2])}" in tiles


def test_one_run_is_not_called_a_median_of_repeats() -> None:
    text = html.page([record()])

    assert "median of" not in text
    assert "repeat 1" not in text


def test_each_row_of_a_repeat_says_which_one_it_is() -> None:
    one = record(repeats=3, loads=(1, 4))

    told = tables.summary(one)

    wanted = ["median of 3", "1 of 3", "2 of 3", "3 of 3"]
    assert [row[:2] for row in told.rows] == [(f"concurrency {load}", each) for load in (1, 4) for each in wanted]
    rates = sorted(run.output_tokens_per_s for run in one.runs if run.concurrency == 4)
    assert told.rows[4][3] == number(rates[1])
    assert told.marks[::4] == ("sum", "sum")
    assert "concurrency 4, repeat 2 of 3" in html.page([one])


def test_a_repeat_in_which_nothing_came_back_is_in_no_median() -> None:
    one = record(repeats=3, loads=(4,))
    nothing = one.runs[0].model_copy(update={"ok": 0, "output_tokens_per_s": 0.0, "failures": {"connect": 40}})

    middle = tables.summary(one.model_copy(update={"runs": (nothing, *one.runs[1:])})).rows[0]

    assert middle[1:3] == ("median of 2", "80 of 120")
    assert middle[-1] == "40"


def test_what_is_the_same_in_all_rows_is_said_once() -> None:
    table = Table(title="t", heads=("a", "b", "c"), rows=(("1", "x", "2"), ("1", "x", "3")))

    folded = table.folded()

    assert folded.heads == ("a", "c")
    assert folded.rows == (("1", "2"), ("1", "3"))
    assert folded.title == "t; in all rows: b x"
    assert table.markdown().startswith("| a | b | c |")


def test_a_table_of_one_row_is_not_folded() -> None:
    table = Table(title="t", heads=("a", "b"), rows=(("1", "x"),))

    assert table.folded() == table


def test_what_else_went_on_is_shown_where_anything_was_seen() -> None:
    one = record(loads=(4,))
    seen = {
        "server": {"during": [{"running": 4.0, "waiting": 2.0, "kv_usage": 0.5}], "increase": {"preemptions": 1.0}},
        "gpu": [{"power_w": {"mean": 401.2}, "throttle_reasons": ["sw_power_cap"]}],
    }
    run = one.runs[0].model_copy(update={"surroundings": seen, "remarks": ("server: up to 2 waited <b>",)})

    table = tables.surroundings(one.model_copy(update={"runs": (run,)}))
    text = html.page([one.model_copy(update={"runs": (run,)})])

    assert dict(zip(table.heads, table.rows[0], strict=True)) == {
        "load": "concurrency 4",
        "most running": "4",
        "most waiting": "2",
        "KV cache": "50%",
        "preemptions": "1",
        "GPU W": "401.2",
        "slowed by": "sw_power_cap",
    }
    assert "up to 2 waited &lt;b&gt;" in text
    assert 'id="surroundings"' not in html.page([one])

"""A report in a real Chromium: no complaint, nothing wider than a phone, light and dark; pictures are kept.

Skipped with the reason where there is no browser; with BLACKSTACK_REQUIRE_BROWSER=1, as in CI, that is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from blackstack.comparison import compare
from blackstack.report import html
from tests.unit.conftest import REPOSITORY
from tests.unit.records import record

SHOTS = REPOSITORY / ".nox/report"
REQUIRED = os.environ.get("BLACKSTACK_REQUIRE_BROWSER") == "1"
LONG_NAME = "an-organisation/A-Model-With-A-Very-Long-Name-Instruct-AWQ-INT4-" + "x" * 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium: Debian's, or the one that Playwright has; none is a reason to skip."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            reason = f"no Chromium starts here: {str(error).splitlines()[0]}; apt-get install chromium"
            if REQUIRED:
                pytest.fail(f"BLACKSTACK_REQUIRE_BROWSER=1, but {reason}")
            pytest.skip(reason)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it."""
    first = record(LONG_NAME, repeats=3, loads=(1, 4, 16))
    second = record("two", speed=1.2, repeats=3, loads=(1, 4, 16), seed=1, ran_on={"cpu": "another " * 30})
    broken = second.runs[0].model_copy(update={"failures": {"cut": 2}, "failure_examples": {"cut": ("after " * 60,)}})
    shown = second.model_copy(update={"runs": (broken, *second.runs[1:])})
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html.page([first, shown], compare(first, second)), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_report_is_shown_without_complaint_and_without_overflow(
    browser: Browser, page: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    view = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    said: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith("file:") else None)

    view.goto(page.as_uri())
    view.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    wider = view.evaluate(
        "[...document.querySelectorAll('body *')].filter(each => !each.closest('.table, svg')"
        " && each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 80))"
    )
    SHOTS.mkdir(parents=True, exist_ok=True)
    view.screenshot(path=SHOTS / f"{scheme}-{width}.png", full_page=True)
    sizes = view.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    scrolled = view.evaluate(
        "[...document.querySelectorAll('.table:not(:has(.words))')]"
        ".filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.ariaLabel)"
    )
    ground = view.evaluate("getComputedStyle(document.body).backgroundColor")
    view.close()

    assert said == []
    assert wider == []
    assert sizes[0] <= sizes[1]
    assert scrolled == [] or width < 1000
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("width", [390, 1200])
def test_letters_in_pictures_can_be_read_and_none_is_cut_off(browser: Browser, page: Path, width: int) -> None:
    view = browser.new_page(viewport={"width": width, "height": 844})
    view.goto(page.as_uri())
    view.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    cut, small = view.evaluate(
        """() => {
            const shown = [...document.querySelectorAll('svg')].filter(each => each.clientWidth);
            const cut = [], small = [];
            for (const each of shown) {
                const frame = each.getBoundingClientRect();
                for (const text of each.querySelectorAll('text')) {
                    const box = text.getBoundingClientRect();
                    if (box.left < frame.left - 2 || box.right > frame.right + 2) cut.push(text.textContent);
                    if (box.height < 10) small.push(text.textContent);
                }
            }
            return [cut, small];
        }"""
    )
    view.close()

    assert cut == []
    assert small == []


def test_a_table_is_copied_by_its_button(browser: Browser, page: Path) -> None:
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    view = context.new_page()
    view.goto(page.as_uri())

    view.get_by_role("button", name="Copy as CSV").first.click()
    view.get_by_role("button", name="copied").wait_for()
    text = view.evaluate("navigator.clipboard.readText()")
    context.close()

    assert text.startswith("load,repeat,good,tokens/s")


def test_on_paper_everything_is_black_on_white_and_unfolded(browser: Browser, page: Path) -> None:
    view = browser.new_page(color_scheme="dark")
    view.goto(page.as_uri())
    view.emulate_media(media="print")

    view.evaluate("window.dispatchEvent(new Event('beforeprint'))")

    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert view.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    view.close()

"""`signatures.yaml` → docs/troubleshooting.md, in English and Korean.

``python -m blackstack.diagnose.guide`` writes them; ``--check`` only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blackstack.diagnose.anchors import anchors
from blackstack.diagnose.entries import Language
from blackstack.diagnose.signatures import Catalogue, Signature, load, regexes
from blackstack.generated import keep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCS = Path(__file__).parents[2] / "docs"
PAGES: dict[Language, str] = {"en": "troubleshooting.md", "ko": "troubleshooting.ko.md"}

_SHOWN = 3  # texts shown of what a log says
_TELLING = 10  # a shorter text would find too much

_WORDS: dict[str, dict[Language, str]] = {
    "title": {"en": "Troubleshooting", "ko": "문제 해결"},
    "generated": {
        "en": "Generated from signatures.yaml: python -m blackstack.diagnose.guide",
        "ko": "signatures.yaml에서 만든 문서: python -m blackstack.diagnose.guide",
    },
    "first": {
        "en": "Let the program look first. It reads logs of any size and names the cause:",
        "ko": "먼저 프로그램에 맡기세요. 로그가 아무리 커도 결과가 아니라 원인을 짚어 줍니다:",
    },
    "other": {"en": "[한국어](troubleshooting.ko.md)", "ko": "[English](troubleshooting.md)"},
    "causes": {"en": "Causes", "ko": "원인 목록"},
    "what": {"en": "What is wrong", "ko": "무엇이 잘못되었나"},
    "code": {"en": "Code", "ko": "코드"},
    "where": {"en": "Seen with", "ko": "나타나는 곳"},
    "says": {"en": "The log says", "ko": "로그에 보이는 말"},
    "fix": {"en": "Next", "ko": "할 일"},
    "verify": {"en": "Mended when this works", "ko": "이것이 되면 고쳐진 것입니다"},
    "sources": {"en": "Sources", "ko": "근거"},
    "deaths": {"en": "When it died without a word", "ko": "말없이 죽었을 때"},
    "signal": {"en": "Signal", "ko": "신호"},
    "stage": {"en": "Last stage", "ko": "마지막 단계"},
    "meant": {"en": "What it has meant", "ko": "지금까지의 의미"},
    "next": {"en": "Next experiment", "ko": "다음 실험"},
    "any": {"en": "any", "ko": "모두"},
}


def page(catalogue: Catalogue, language: Language) -> str:
    """Return the whole page."""
    word = {name: words[language] for name, words in _WORDS.items()}
    return "\n".join(
        [
            f"# {word['title']}",
            "",
            f"<!-- {word['generated']} -->",
            f"{word['other']}",
            "",
            word["first"],
            "",
            "```sh",
            "docker logs CONTAINER 2>&1 | python -m blackstack.diagnose -",
            "```",
            "",
            *_deaths(catalogue, word, language),
            f"## {word['causes']}",
            "",
            f"| {word['what']} | {word['code']} |",
            "|---|---|",
            *(f"| {_cell(s.title.say(language))} | [`{s.code}`](#{s.code}) |" for s in catalogue.signatures),
            "",
            *(line for s in catalogue.signatures for line in _cause(s, word, language)),
        ]
    )


def _deaths(catalogue: Catalogue, word: dict[str, str], language: Language) -> Iterable[str]:
    stages = {stage.name: stage.say.say(language) for stage in catalogue.stages}
    yield from (f"## {word['deaths']}", "")
    yield f"| {word['signal']} | {word['stage']} | {word['meant']} | {word['next']} |"
    yield "|---|---|---|---|"
    for death in catalogue.deaths:
        where = "; ".join(stages[name] for name in death.stages) or word["any"]
        meant = death.meant or catalogue.by_code[death.code].title
        run = death.next[0].run if death.next else catalogue.by_code[death.code].fix[0].run
        cells = (death.signal or "OOMKilled", where, meant.say(language), f"`{run}`")
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""


def _cause(signature: Signature, word: dict[str, str], language: Language) -> Iterable[str]:
    yield from (
        f"### {signature.code}",
        "",
        f"**{signature.title.say(language)}.** {signature.cause.say(language)}",
    )
    if where := "; ".join(filter(None, (", ".join(signature.engines), signature.versions))):
        yield from ("", f"{word['where']}: {where}")
    if texts := _texts(signature):
        yield from ("", f"{word['says']}: {', '.join(f'`{text}`' for text in texts)}")
    yield from ("", f"{word['fix']}:", "", "```sh")
    yield from (advice.say(language) if advice.run else f"# {advice.say(language)}" for advice in signature.fix)
    yield from ("```", "", f"{word['verify']}: `{signature.verify}`", "")
    yield from (f"{word['sources']}: {', '.join(signature.sources)}", "")


def _texts(signature: Signature) -> list[str]:
    """Return the plain texts by which a person can search for the cause."""
    longest = {max(anchors(regex), key=_by_length).strip() for item in signature.any for regex in regexes(item)}
    telling = (text for text in longest if len(text) >= _TELLING and "`" not in text)
    return sorted(telling, key=_by_length, reverse=True)[:_SHOWN]


def _by_length(text: str) -> tuple[int, str]:
    return len(text), text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are stale (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m blackstack.diagnose.guide", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is stale")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    pages = {options.docs / name: page(load(), language) for language, name in PAGES.items()}
    return keep(pages, check=options.check, again=parser.prog)


if __name__ == "__main__":
    sys.exit(main())

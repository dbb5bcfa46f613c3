"""What the documents say is there, and what is there is documented."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.parser import Parser
from invoke.program import Program

from blackstack import catalog

from .conftest import REPOSITORY

PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("docs/*/*.md")]


def tasks() -> Collection:
    """Return what `inv` offers."""
    spec = importlib.util.spec_from_file_location("tasks", REPOSITORY / "tasks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Collection.from_module(module)


@pytest.mark.parametrize("name", sorted(tasks().tasks))
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.ko.md"])
def test_every_verb_is_documented(name: str, page: str) -> None:
    assert f"inv {name}" in (REPOSITORY / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(tasks().tasks))
def test_every_verb_and_each_of_its_flags_explains_itself(name: str) -> None:
    task = tasks().tasks[name]

    first = str(task.__doc__).splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 78, "Invoke does not wrap it, and a terminal has 80 columns"
    assert all(argument.help for argument in task.get_arguments())


@pytest.mark.parametrize("name", sorted(tasks().tasks))
def test_no_flag_has_a_letter_that_nobody_gave_it_so_that_h_is_help_everywhere(name: str) -> None:
    flags = {flag for argument in tasks().tasks[name].get_arguments() for flag in argument.names if len(flag) == 1}

    assert flags == ({"a", "b"} if name == "compare" else set())


def typed(page: Path) -> Iterator[str]:
    """Yield the `inv` commands of a page's blocks of code, as they would be typed."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            commands = re.split(r"&&|;", re.sub(r"\s#.*", "", line))
            yield from (command.strip() for command in commands if re.match(r"\s*inv \w", command))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_of_a_page_is_one_that_can_be_typed(page: Path) -> None:
    collection = tasks()
    program = Program()
    program.create_config()
    parser = Parser(initial=program.initial_context, contexts=collection.to_contexts())

    for command in typed(page):
        parser.parse_argv(shlex.split(command)[1:])  # or it raises what is wrong with it


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_every_stack_is_in_the_readme_with_its_model(name: str) -> None:
    assert f"| `{name}` |" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_path_that_is_named_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    roots = "blackstack|compose|tests|benchmarks|docs|dockerfiles|results"
    named = re.findall(rf"`((?:{roots})/[\w./-]*)`", text)

    assert named
    assert [
        path for path in named if "NAME" not in path and "CODE" not in path and not (REPOSITORY / path).exists()
    ] == []

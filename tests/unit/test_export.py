"""An export is a folder that works alone, with every comment and without any secret."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dotenv import dotenv_values

from blackstack import catalog, export
from blackstack.errors import UsageError
from blackstack.verbs import exporting

from .conftest import REPOSITORY


def files(repository: Path, profile: str | None = None) -> dict[str, str]:
    """Return the toy's export."""
    return export.folder_of(catalog.load(repository, "toy"), profile=profile, date="2026-11-21", archive=None)


def write(folder: Path, content: dict[str, str]) -> None:
    """Write an export down."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name).write_text(text)


def values(repository: Path, folder: Path, profile: str | None = None) -> dict[str, str | None]:
    """Return the values that compose will read."""
    write(folder, files(repository, profile))
    return dotenv_values(folder / ".env")


def test_an_export_has_the_compose_file_unchanged_and_the_knobs_with_their_comments(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "env/toy.env").write_text("# Which one.\nIMAGE=toy:1\nBASE_IMAGE=x\n\n# As many.\nSLOTS=6  # or so\n")

    made = files(repository)

    assert made["compose.yaml"] == (repository / "compose/toy.yaml").read_text()
    assert made[".env"].startswith("# Which one.\nIMAGE=toy:1\n\n# As many.\nSLOTS=6  # or so\n")
    assert values(repository, tmp_path / "out") == {"IMAGE": "toy:1", "SLOTS": "6", "BIND_ADDRESS": "127.0.0.1"}


def test_what_the_env_file_says_of_its_twin_in_the_repository_is_not_exported(repository: Path) -> None:
    head = "# Knobs. The same defaults stand in compose/toy.yaml,\n# and a test compares them.\n\n"
    (repository / "env/toy.env").write_text(f"{head}# Which one.\nIMAGE=toy:1\n")

    made = files(repository)[".env"]

    assert made.startswith("# Knobs. Compose reads this file by itself.\n\n# Which one.\nIMAGE=toy:1\n")


def test_no_secret_is_exported_wherever_it_stands(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hush-shell")
    for name in ("toy", "local", "common"):
        with (repository / f"env/{name}.env").open("a") as file:
            file.write(f"API_KEY=hush-{name}\n")

    made = files(repository, "wide")

    assert "hush" not in "".join(made.values())
    assert "# What clients must send.\n#API_KEY=\n" in made[".env"]
    assert "No secret was exported: write `API_KEY` there" in made["README.md"]


def test_a_profile_s_values_stand_in_the_env_file(repository: Path, tmp_path: Path) -> None:
    assert values(repository, tmp_path / "a")["SLOTS"] == "4"
    assert values(repository, tmp_path / "b", "wide")["SLOTS"] == "16"
    with pytest.raises(UsageError, match="did you mean 'wide'"):
        files(repository, "wid")


def test_this_machine_s_own_knobs_stay_here(repository: Path, tmp_path: Path) -> None:
    (repository / "env/local.env").write_text("SLOTS=99\n")

    assert values(repository, tmp_path / "out")["SLOTS"] == "4"


def test_the_checksums_are_those_of_the_files(repository: Path) -> None:
    made = files(repository)

    head, *lines = made[export.SUMS].splitlines()

    assert head == "# blackstack export of toy"
    assert lines == [
        f"{hashlib.sha256(made[name].encode()).hexdigest()}  {name}" for name in ("compose.yaml", ".env", "README.md")
    ]


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_the_page_of_every_stack_has_its_commands_and_no_open_place(name: str) -> None:
    stack = catalog.load(REPOSITORY, name)
    page = export.folder_of(stack, profile=None, date="2026-11-21", archive=None)["README.md"]

    words = (
        "sha256sum --check",
        "docker compose up --detach --wait",
        "/v1/completions",
        "logs --follow",
        "compose down",
    )
    assert [word for word in words if word not in page] == []
    assert stack.defaults["IMAGE"] in page
    assert "한국어" in page
    assert "{" not in page.replace("-d '{", "")


def test_an_earlier_export_is_replaced_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export.refuse_what_is_not_ours(folder)
    write(folder, {})
    export.refuse_what_is_not_ours(folder)
    write(folder, files(repository))
    export.refuse_what_is_not_ours(folder)

    (folder / ".env").write_text("API_KEY=mine\n")
    with pytest.raises(UsageError, match=r"changed since\n  changed: \.env"):
        export.refuse_what_is_not_ours(folder)

    write(folder, {**files(repository), "notes.txt": "mine"})
    with pytest.raises(UsageError, match=r"changed since\n  new: notes.txt"):
        export.refuse_what_is_not_ours(folder)


@pytest.mark.parametrize("there", [{"a.txt": "mine"}, {export.SUMS: "0  x\n"}, {export.SUMS: ""}])
def test_somebody_s_folder_is_not_written_over(tmp_path: Path, there: dict[str, str]) -> None:
    write(tmp_path / "out", there)

    with pytest.raises(UsageError, match="no export of ours"):
        export.refuse_what_is_not_ours(tmp_path / "out")


def test_a_profile_with_words_that_no_knob_has_is_refused(repository: Path) -> None:
    compose = repository / "compose/toy.yaml"
    text = compose.read_text().replace("set: {SLOTS: 16}}", 'set: {SLOTS: 16}, extra: "--kv-cache-dtype fp8"}')
    compose.write_text(text)

    with pytest.raises(UsageError, match="words that no knob has") as caught:
        files(repository, "wide")

    assert "--kv-cache-dtype fp8" in str(caught.value)


def test_an_export_through_a_link_replaces_what_it_leads_to(tmp_path: Path) -> None:
    place, link = tmp_path / "place", tmp_path / "link"
    write(place, {"README.md": "old", "gone": "old"})
    link.symlink_to(place)

    exporting._write(link, {"README.md": "new"})

    assert link.is_symlink()
    assert {path.name: path.read_text() for path in place.iterdir()} == {"README.md": "new"}
    assert {path.name for path in tmp_path.iterdir()} == {"place", "link"}

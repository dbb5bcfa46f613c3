"""A stack is one compose file: read here, with every fault found at once and said with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from blackstack.catalog import template
from blackstack.catalog.lines import BrokenYamlError, line_of, read_yaml
from blackstack.catalog.profiles import path_of, with_local_profiles
from blackstack.catalog.schema import XStack
from blackstack.errors import UsageError, nearest, unknown_name

SEE_STACKS = "inv stacks"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A way of serving a model, as its compose file states it; nothing of a machine or a run is in it.

    Attributes:
        name: the file's name without its ending.
        path: the compose file.
        root: the repository.
        x: the ``x-stack`` block.
        project: the compose project.
        service: the server's compose service, with its variables not yet filled in.
        defaults: the default of each knob that the compose file uses.
        container_port: the port inside the container.
    """

    name: str
    path: Path
    root: Path
    x: XStack
    project: str
    service: Mapping[str, Any]
    defaults: Mapping[str, str]
    container_port: int


def names(root: Path) -> tuple[str, ...]:
    """Return the names of all stacks."""
    return tuple(sorted(path.stem for path in (root / "compose").glob("*.yaml")))


def load(root: Path, name: str) -> Stack:
    """Read one stack.

    Raises:
        UsageError: there is no such stack, or its file has faults; it lists them all.
    """
    if name not in names(root):  # looked up, never pasted into a path: a name like ../x ends here
        raise unknown_name("stack", name, names(root), see=SEE_STACKS)
    path = root / "compose" / f"{name}.yaml"
    return _Reader(root, path).stack()


def load_all(root: Path) -> tuple[Stack, ...]:
    """Read every stack.

    Raises:
        UsageError: some file has faults; it lists them all, of all files.
    """
    stacks: list[Stack] = []
    faults: list[str] = []
    for name in names(root):
        try:
            stacks.append(load(root, name))
        except UsageError as error:
            faults += error.why
    if faults:
        raise _faulty(faults)
    return tuple(stacks)


def _faulty(faults: Sequence[str]) -> UsageError:
    return UsageError(
        "a compose file cannot be used",
        why=faults,
        fix="mend the lines named; the keys are explained in blackstack/catalog/schema.py",
    )


@dataclass
class _Reader:
    """Reads one file; every fault carries the line that it stands on."""

    root: Path
    path: Path

    def stack(self) -> Stack:
        data = self._parse()
        faults = list(self._structure(data))
        if not faults:
            faults = [*self._x_stack_faults(data)]
        if not faults:
            x = XStack.model_validate(_plain(data["x-stack"]))
            faults = [
                *self._knob_faults(data, x),
                *self._profile_faults(data, x),
                *self._file_faults(data, x),
            ]
        if faults:
            raise _faulty(faults)
        service = _plain(data["services"][x.service])
        return Stack(
            name=self.path.stem,
            path=self.path,
            root=self.root,
            x=with_local_profiles(x, path_of(self.root, self.path.stem)),
            project=str(data["name"]),
            service=service,
            defaults={key: default or "" for key, default in template.variables(_plain(data["services"]))},
            container_port=int(str(service["ports"][0]).rpartition(":")[2]),
        )

    def _parse(self) -> CommentedMap:
        try:
            data = read_yaml(self.path)
        except BrokenYamlError as error:
            raise _faulty([f"{self._at(error.line)}: does not parse: {error.reason}"]) from error
        if not isinstance(data, CommentedMap):
            raise _faulty([f"{self._at(1)}: is not a mapping"])
        return data

    def _structure(self, data: CommentedMap) -> Iterator[str]:
        for key, kind in (("name", str), ("x-stack", CommentedMap), ("services", CommentedMap)):
            if key not in data:
                yield f"{self._at(1)}: `{key}:` is missing"
            elif not isinstance(data[key], kind):
                yield f"{self._at(line_of(data, (key,)))}: `{key}:` must be {_KINDS[kind]}"

    def _x_stack_faults(self, data: CommentedMap) -> Iterator[str]:
        try:
            x = XStack.model_validate(_plain(data["x-stack"]))
        except ValidationError as error:
            for fault in error.errors():
                yield self._described(data["x-stack"], fault["type"], fault["loc"], fault["msg"])
            return
        service = data["services"].get(x.service)
        if service is None:
            place = self._at(line_of(data, ("services",)))
            yield f"{place}: there is no service {x.service!r}, the server of this stack"
        elif not isinstance(service.get("command", []), CommentedSeq | list):
            yield f"{self._at(line_of(service, ('command',)))}: `command:` must be a list, so that no shell splits it"
        elif not service.get("ports"):
            yield f"{self._at(line_of(data['services'], (x.service,)))}: the server publishes no `ports:`"

    def _described(self, block: CommentedMap, kind: str, where: tuple[int | str, ...], message: str) -> str:
        dotted = ".".join(str(part) for part in where)
        line = self._at(line_of(block, where))
        if kind == "extra_forbidden":
            near = nearest(str(where[-1]), _known_keys(where))
            return f"{line}: unknown key `{dotted}` in x-stack" + (f"; did you mean `{near}`?" if near else "")
        if kind == "missing":
            return f"{line}: `{dotted}` is missing in x-stack"
        return f"{line}: `{dotted}`: {message.removeprefix('Value error, ')}"

    def _knob_faults(self, data: CommentedMap, x: XStack) -> Iterator[str]:
        """Hold the variables that the file uses against the knobs that it declares."""
        try:
            used = dict(template.variables(_plain(data["services"])))
            elsewhere = set(template.marks(x.process.model_dump() if x.process else {}))
        except ValueError as error:
            yield f"{self._at(1)}: {error}"
            return
        elsewhere |= set(x.build.args) if x.build else set()
        for key in sorted(elsewhere - set(x.knobs)):
            yield f"{self._at(line_of(data, ('x-stack',)))}: {key} of `process` or `build` is no knob{_hint(key, x)}"
        for key, default in used.items():
            line = self._at(_line_of_text(self.path, "${" + key))
            if key not in x.knobs:
                yield f"{line}: ${key} is no knob of x-stack{_hint(key, x)}"
            elif default is None:
                yield f"{line}: ${key} has no default: the file would not work alone"
            elif default and (wrong := x.knobs[key].fault(default)):
                yield f"{line}: the default of {key} is {default!r}, but {wrong}"
        in_sight = {key for key, _ in template.variables(_plain(data["services"][x.service].get("command", [])))}
        in_sight |= set(template.marks([x.process.argv, x.process.prepare] if x.process else []))
        for key in sorted(in_sight & {key for key, knob in x.knobs.items() if knob.type == "secret"}):
            yield f"{self._at(line_of(data['x-stack']['knobs'], (key,)))}: the secret {key} stands on a command line"
        for key in sorted(set(x.knobs) - set(used) - elsewhere):
            yield f"{self._at(line_of(data['x-stack']['knobs'], (key,)))}: knob {key} is used nowhere in this file"

    def _profile_faults(self, data: CommentedMap, x: XStack) -> Iterator[str]:
        for name, profile in x.profiles.items():
            for key, value in profile.set.items():
                line = self._at(line_of(data["x-stack"]["profiles"][name]["set"], (key,)))
                if key not in x.knobs:
                    yield f"{line}: profile {name} sets {key}, which is no knob{_hint(key, x)}"
                elif wrong := x.knobs[key].fault(str(value)):
                    yield f"{line}: profile {name} sets {key} to {str(value)!r}, but {wrong}"

    def _file_faults(self, data: CommentedMap, x: XStack) -> Iterator[str]:
        files = [(("build", "dockerfile"), x.build.dockerfile)] if x.build else []
        files += [(("process", "requirements"), x.process.requirements)] if x.process and x.process.requirements else []
        folders = [(("build", "contexts", name), path) for name, path in x.build.contexts.items()] if x.build else []
        for where, value in (*files, *folders):
            path = (self.root / value).resolve()
            there = path.is_dir() if where[1] == "contexts" else path.is_file()
            if not path.is_relative_to(self.root.resolve()) or not there:
                line = self._at(line_of(data["x-stack"], where))
                yield f"{line}: no such {'folder' if where[1] == 'contexts' else 'file'} in this repository: {value}"

    def _at(self, line: int) -> str:
        return f"{self.path.relative_to(self.root)}:{line}"


_KINDS = {str: "text", CommentedMap: "a mapping"}


def _hint(key: str, x: XStack) -> str:
    near = nearest(key, x.knobs)
    return f"; did you mean {near}?" if near else ""


def _known_keys(where: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand where an unknown one stood."""
    model: Any = XStack
    for part in where[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:
            continue  # a name of the user's, such as a knob's: the model stays
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((option for option in options if hasattr(option, "model_fields")), None)
    return list(getattr(model, "model_fields", ()))


def _plain(data: Any) -> Any:  # noqa: ANN401 - a tree of YAML, whatever it holds
    """Strip ruamel's types, whose numbers and strings remember how they were written."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    for kind in (bool, int, float, str):
        if isinstance(data, kind):
            return kind(data)
    return data


def _line_of_text(path: Path, text: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)

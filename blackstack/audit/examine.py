"""The audit itself, one target in, one report out: torch first, then package by package."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from blackstack.audit import abi, coverage, groups, remedies, roles
from blackstack.audit.binary import UnreadableError
from blackstack.audit.demangle import overload_prefix
from blackstack.audit.dists import Distribution, read_site
from blackstack.audit.elf import Symbol
from blackstack.audit.evidence import Environment, Evidence, Package, Question, describe
from blackstack.audit.model import FileReport, Loads, PackageReport, Runs, worst
from blackstack.audit.process import DRIVER, Library, Outside, Problem, Process
from blackstack.audit.symbols import LIBRARIES, Table, is_torch_name, lookup
from blackstack.audit.symhash import gnu_hash
from blackstack.audit.torch import find_torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blackstack.audit.target import Target

#: Distributions that only carry libraries for others; their kernels' names help nobody.
_CARRIERS = ("nvidia-", "cuda-", "triton")


def examine(target: Target, question: Question) -> Environment:
    """Look at everything once."""
    with Library(target.root) as library:
        return _Examination(target, question, library).run()


class _Examination:
    """The state of one run: the mapped files, the imagined process, the symbol table."""

    def __init__(self, target: Target, question: Question, library: Library) -> None:
        self.target = target
        self.question = question
        self.library = library
        self.sites = tuple(read_site(target.root.host(site)) for site in target.sites)
        self.torch = find_torch(target.root, target.sites)
        outside = (remedies.cuda_wheels(self.torch.cuda),) if target.partial and self.torch else ()
        self.plain = Process(library, target.machine, target.library_path, (Outside(*pair) for pair in outside))
        self.plain.start()
        self.with_torch = self.plain.fork()

    def run(self) -> Environment:
        torch_problems: tuple[Problem, ...] = ()
        if self.torch:
            torch_problems = tuple(self.torch.enter(self.with_torch, self.target.sites))
        owned: dict[str, tuple[Distribution, list[Evidence]]] = {}
        for site in self.sites:
            for file in site.files:
                name = site.owner(file)
                distribution = site.distributions.get(name) or Distribution(name, "")
                evidence = self._look(file, names=not name.startswith(_CARRIERS))
                owned.setdefault(name, (distribution, []))[1].append(evidence)
        self._load(owned, torch_works=not torch_problems)
        table = lookup(name for _, files in owned.values() for file in files for name in file.names)
        packages = tuple(
            self._judge(distribution, files, table, torch_problems) for distribution, files in sorted_by_name(owned)
        )
        wanted = {n for _, files in owned.values() for f in files for n in f.needed if DRIVER.libraries.fullmatch(n)}
        return Environment(
            self.target,
            self.question,
            self.torch,
            torch_problems,
            self.sites,
            packages,
            tuple(sorted(wanted)),
            tuple(self._overloads(packages)),
        )

    def _look(self, file: Path, *, names: bool) -> Evidence:
        evidence = Evidence(self.target.root.inside(file), file)
        try:
            if file.suffix == ".cubin":
                evidence.cover = coverage.cover_cubin(file, self.question.gpu)
                return evidence
            elf = self.library.elf(evidence.path)
            if elf.machine == "cuda":
                evidence.cover = coverage.cover_cubin(file, self.question.gpu)
                return evidence
            evidence.loadable = True
            evidence.needed = elf.needed
            evidence.names = {symbol.name for symbol in elf.imports if is_torch_name(symbol.name)}
            evidence.cover = coverage.cover(elf, self.question.gpu, self.question.driver, names=names)
        except UnreadableError as error:
            if not _linker_script(file):
                evidence.problems.append(Problem("unreadable", evidence.path, evidence.path, str(error)))
        return evidence

    def _load(self, owned: dict[str, tuple[Distribution, list[Evidence]]], *, torch_works: bool) -> None:
        """Open every file in a process of its own, with torch loaded first where the package uses torch."""
        for name, (distribution, files) in owned.items():
            uses_torch = name == "torch" or any(r.name == "torch" for r in distribution.requires)
            uses_torch = uses_torch or any(f.names or set(f.needed) & set(LIBRARIES) for f in files)
            if uses_torch and not torch_works and name != "torch":
                continue  # said once, of torch; nobody else is blamed
            base = self.with_torch if uses_torch else self.plain
            # Python imports what a package requires before the package: their libraries are loaded by then.
            sources = [files, *(owned[r.name][1] for r in distribution.requires if r.name in owned)]
            folders = dict.fromkeys(str(PurePosixPath(f.path).parent) for each in sources for f in each)
            for file in files:
                if file.problems or not file.loadable:
                    continue
                beside = (str(PurePosixPath(file.path).parent), *folders)
                problems = base.fork().dlopen(file.path, beside=beside)
                if problems and base is self.plain and torch_works:
                    # A server has imported torch before anything else, and with it the libraries of CUDA.
                    problems = self.with_torch.fork().dlopen(file.path, beside=beside)
                file.problems.extend(_first_causes(problems))

    def _judge(
        self,
        distribution: Distribution,
        files: list[Evidence],
        table: Table,
        torch_problems: tuple[Problem, ...],
    ) -> Package:
        lock = None
        if distribution.name != "torch" and self.torch:
            lock = self._lock(distribution, files, table)
        relative = {file.path: self._relative(file.path) for file in files}
        alternative = groups.alternatives(relative.values())
        reports = []
        for file in files:
            loads, reasons = self._verdict(file, lock, distribution, torch_problems)
            path = relative[file.path]
            foreign = groups.other_python(path, self.target.python)
            if foreign:
                reasons = (*reasons, "for another Python: never imported by this one")
            reports.append(
                FileReport(
                    path,
                    loads,
                    reasons,
                    required=not foreign and not roles.optional(distribution.name, path),
                    group=alternative.get(path, ""),
                    runs={self._gpu: file.cover.runs} if file.cover else {},
                    uncovered=file.cover.uncovered if file.cover else (),
                )
            )
        reports = self._choose(reports)
        total = sum((file.cover.runs for file in files if file.cover), Runs())
        demanded = self._demanded(distribution)
        report = PackageReport(
            distribution.name,
            distribution.version,
            worst([*(r.loads for r in reports if r.required), *demanded]),
            tuple(reports),
            {self._gpu: total} if total.total else {},
            lock.built_for if lock else "",
        )
        return Package(distribution, tuple(files), report, lock)

    @property
    def _gpu(self) -> str:
        return f"{self.question.gpu[0]}.{self.question.gpu[1]}"

    def _relative(self, path: str) -> str:
        site = next((s for s in self.target.sites if path.startswith(f"{s}/")), "")
        return path.removeprefix(f"{site}/")

    def _lock(self, distribution: Distribution, files: list[Evidence], table: Table) -> abi.Lock | None:
        bound = [file for file in files if abi.cxx_names(file.names) and self._for_this_torch(file)]
        if not bound or not self.torch:
            return None
        foreign = [{name for name in file.names if not self._by_sibling(name, file, files)} for file in bound]
        missing = {p.name for file in bound for p in file.problems if p.kind == "symbol"}
        binds = not any(names & missing for names in foreign)
        if binds and not self.with_torch.has("libtorch_cpu.so"):
            binds = True  # torch itself is broken: the table alone decides
        folders = dict.fromkeys(file.host.parent for file in files)
        said = abi.origin(distribution, folders)
        if all(groups.torch_of(file.host.name) for file in bound):  # those for other torches are left out above
            said = abi.Origin(self.torch.minor, "{}.{}".format(*self.torch.minor), "its file's name")
        return abi.lock(table, foreign, said, self.torch.minor, binds=binds)

    def _for_this_torch(self, file: Evidence) -> bool:
        """Is it not one of several builds, `…_torch28-cuda.so`, that are each for a torch of their own?"""
        named = groups.torch_of(PurePosixPath(file.path).name)
        return named is None or self.torch is None or named == self.torch.minor

    def _by_sibling(self, name: str, file: Evidence, files: list[Evidence]) -> bool:
        """Does a sibling define NAME, as libtorchaudio.so does for _torchaudio.so?"""
        symbol, hashed = Symbol(name), gnu_hash(name)
        for other in files:
            if other is file or other.host.suffix == ".cubin":
                continue
            try:
                if self.library.elf(other.path).exports(symbol, hashed):
                    return True
            except UnreadableError:
                continue
        return False

    def _verdict(
        self,
        file: Evidence,
        lock: abi.Lock | None,
        distribution: Distribution,
        torch_problems: tuple[Problem, ...],
    ) -> tuple[Loads, tuple[str, ...]]:
        reasons = list(dict.fromkeys(describe(problem) for problem in file.problems))
        loads: Loads = "fail" if reasons else "ok"
        if lock and lock.reason and abi.cxx_names(file.names) and self._for_this_torch(file):
            alone = loads == "ok" and self.torch is not None
            loads = worst([loads, lock.of_binding_file(self.torch.minor) if alone and self.torch else lock.loads])
            reasons.append(lock.reason)
        if torch_problems and distribution.name != "torch" and (file.names or set(file.needed) & set(LIBRARIES)):
            loads = "fail"
            reasons.insert(0, "torch itself does not load")
        return loads, tuple(reasons)

    def _choose(self, reports: list[FileReport]) -> list[FileReport]:
        """Of alternatives require the one that this CUDA or GPU selects, else the best."""
        members: dict[str, list[FileReport]] = {}
        for report in reports:
            if report.group:
                members.setdefault(report.group, []).append(report)
        needed: set[str] = set()
        for found in members.values():
            cuda = self.torch.cuda if self.torch else ""
            paths = [r.path for r in found]
            fitting = [p for p in paths if self.torch and groups.torch_of(p) == self.torch.minor]
            pick = groups.chosen(fitting or paths, cuda, self.question.gpu)
            candidates = [r for r in found if r.path in fitting] or found
            best = min(candidates, key=lambda r: ("ok", "risk", "fail").index(r.loads))
            needed.add(pick or best.path)
        return [r if not r.group or r.path in needed else FileReport(**{**vars(r), "required": False}) for r in reports]

    def _demanded(self, distribution: Distribution) -> Iterator[Loads]:
        """A package that was written for a newer torch may load and still break in Python.

        A pin on an older torch says what it was compiled with; that is the ABI lock's matter, not Python's.
        """
        if not self.torch or distribution.name == "torch":
            return
        for demand in distribution.requires:
            if demand.name == "torch" and demand.newer_than(self.torch.version):
                yield "risk"

    def _overloads(self, packages: tuple[Package, ...]) -> Iterator[str]:
        """Yield torch's names that resemble those that are missing: the new signatures."""
        missing = {
            p.name for package in packages for file in package.files for p in file.problems if p.kind == "symbol"
        }
        prefixes = tuple({prefix for name in missing if is_torch_name(name) and (prefix := overload_prefix(name))})
        if not prefixes or not self.torch:
            return
        for library in LIBRARIES:
            path = f"{self.torch.folder}/lib/{library}"
            try:
                yield from (n for n in self.library.elf(path).exported_names() if n.startswith(prefixes))
            except UnreadableError:
                continue


def _first_causes(problems: list[Problem]) -> list[Problem]:
    """Where a library is missing, its symbols are too: keep of them only those that torch should have had."""
    missing = [problem.name for problem in problems if problem.kind == "library"]
    if not missing:
        return problems
    lost = any(name.startswith(("libtorch", "libc10")) for name in missing)
    return [p for p in problems if p.kind != "symbol" or (is_torch_name(p.name) and not lost)]


def sorted_by_name(
    owned: dict[str, tuple[Distribution, list[Evidence]]],
) -> list[tuple[Distribution, list[Evidence]]]:
    """Return packages in the order of their names."""
    return [owned[name] for name in sorted(owned)]


def _linker_script(file: Path) -> bool:
    """``libfoo.so`` may be a text for the linker; nobody loads it."""
    try:
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError:
        return False
    return any(word in head for word in (b"INPUT(", b"INPUT (", b"GROUP (", b"GNU ld script"))

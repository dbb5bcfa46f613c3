"""Every check and test of this repository; see them with `nox -l`, run them all with `nox`.

Words after `--` go on to the tool: `nox -s unit -- -k plan`, `nox -s lint -- --fix`.

Docker sessions skip, with the reason, where no engine answers; with BLACKSTACK_REQUIRE_DOCKER=1, as in CI, that is
a failure. The sessions share one environment, `.nox/dev`, which is made again when pyproject.toml changes: two cores
spend minutes on five of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.error_on_external_run = True

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
GROUPS = nox.project.dependency_groups(PYPROJECT, "lint", "types", "test")
COMPOSE_FILES = sorted(ROOT.glob("compose/*.yaml"))
STACKS = [path.stem for path in COMPOSE_FILES]
DEV = ROOT / ".nox" / "dev"
REQUIRE_DOCKER = os.environ.get("BLACKSTACK_REQUIRE_DOCKER") == "1"

EXTRACT = ROOT / "blackstack" / "flags" / "extract.py"
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_NEEDS = ("filelock", "fsspec", "jinja2", "networkx", "packaging", "setuptools<82", "sympy", "typing-extensions")

# What an image gets on a server too: nothing but its scratch folders can be written to, and no network here.
CAGE = (
    *("docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges:true", "--tmpfs", "/tmp", "--tmpfs", "/cache:mode=1777"),  # noqa: S108
    *("--shm-size", "1g", "--entrypoint", "python3", "--workdir", "/smoke"),
)


# What vLLM's and SGLang's compiled parts call in the driver; a name too many does no harm.
DRIVER_CALLS = (
    *("cuInit", "cuGetErrorName", "cuGetErrorString", "cuGetProcAddress", "cuGetProcAddress_v2", "cuDriverGetVersion"),
    *(
        "cuDeviceGet",
        "cuDeviceGetAttribute",
        "cuDeviceGetCount",
        "cuCtxGetDevice",
        "cuCtxGetCurrent",
        "cuCtxSetCurrent",
    ),
    *("cuDevicePrimaryCtxRetain", "cuTensorMapEncodeTiled", "cuTensorMapEncodeIm2col", "cuPointerGetAttribute"),
    *("cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel", "cuLaunchKernelEx", "cuFuncSetAttribute"),
    *("cuMemCreate", "cuMemRelease", "cuMemMap", "cuMemUnmap", "cuMemSetAccess", "cuMemGetAllocationGranularity"),
    *("cuMemAddressReserve", "cuMemAddressFree", "cuMemExportToShareableHandle", "cuMemImportFromShareableHandle"),
    *("cuMulticastCreate", "cuMulticastAddDevice", "cuMulticastBindMem", "cuMulticastGetGranularity"),
    *("cuDevResourceGenerateDesc", "cuDevSmResourceSplitByCount", "cuGreenCtxStreamCreate", "cuGreenCtxRecordEvent"),
    *("cuGreenCtxWaitEvent", "cuCtxGetDevResource", "cuStreamGetGreenCtx", "cuMemcpyDtoHAsync_v2"),
    *("cuCtxFromGreenCtx", "cuCtxPopCurrent_v2", "cuCtxPushCurrent_v2", "cuDeviceGetDevResource", "cuGreenCtxCreate"),
    *("cuGreenCtxDestroy", "cuGreenCtxGetDevResource", "cuMemGetAddressRange_v2", "cuMemRetainAllocationHandle"),
    *(
        "cuStreamCreate",
        "cuStreamWriteValue32_v2",
        "cuStreamWaitValue32_v2",
        "cuMemGetHandleForAddressRange",
        "cuLibraryLoadData",
    ),
)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Look at Python, Dockerfiles, shell scripts and compose files."""
    tool = dev(session)
    fix = "--fix" in session.posargs
    session.run(tool("ruff"), "check", *session.posargs, external=True)
    session.run(tool("ruff"), "format", *(() if fix else ("--check",)), external=True)
    session.run(tool("hadolint"), *map(str, sorted(ROOT.glob("dockerfiles/*/Dockerfile"))), external=True)
    session.run(tool("shellcheck"), *shell_scripts(), external=True)
    session.run(tool("python"), "-m", "blackstack.diagnose.guide", "--check", external=True)
    session.run(tool("python"), "-m", "blackstack.doctor.guide", "--check", external=True)
    session.run(tool("inv"), "matrix", "--check", external=True)
    session.run(tool("python"), "-m", "blackstack.lint.guide", "--check", external=True)
    session.run(tool("inv"), "lint", external=True)
    problem = no_compose(session)
    if problem:
        skip_docker(session, problem)
    for path in COMPOSE_FILES:
        parse_alone(session, path)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check the types of everything, strictly."""
    tool = dev(session)
    session.run(tool("mypy"), *session.posargs, external=True)
    # Folders of scripts, in which one module name comes more than once; the engines are not installed here.
    folders = [ROOT / "tests" / "images", *{path.parent for path in ROOT.glob("dockerfiles/*/*.py")}]
    for folder in sorted(folders):
        scripts = map(str, sorted(folder.glob("*.py")))
        session.run(
            *(tool("mypy"), "--explicit-package-bases", "--disable-error-code", "import-not-found", *scripts),
            env={"MYPYPATH": str(folder)},
            external=True,
        )


@nox.session(venv_backend="none")
def unit(session: nox.Session) -> None:
    """Run the tests that need no engine and no model."""
    pytest(session, "tests/unit")


@nox.session(venv_backend="none")
def e2e(session: nox.Session) -> None:
    """Type the README's commands in a clean checkout, with the real model and without Docker."""
    pytest(session, "tests/e2e")


@nox.session(venv_backend="none")
def docker(session: nox.Session) -> None:
    """Build, start, measure and stop real containers."""
    pytest(session, "tests/docker")


@nox.session(name="copy-paste", venv_backend="none")
def copy_paste(session: nox.Session) -> None:
    """Bring up each compose file and each export alone, in an empty folder, as on a server."""
    problem = no_compose(session)
    if problem:
        skip_docker(session, problem)
    pytest(session, "tests/copy_paste")


@nox.session(venv_backend="none")
@nox.parametrize("stack", STACKS, ids=STACKS)
def smoke(session: nox.Session, stack: str) -> None:
    """Run tests/images inside a stack's image and its environment, whichever are here."""
    text = (ROOT / f"compose/{stack}.yaml").read_text()
    engine = re.search(r"^  engine: (\w+)$", text, re.MULTILINE)
    if engine is None:
        session.error(f"compose/{stack}.yaml names no engine")
    kinds = ("test_gpu", f"test_{engine[1]}_gpu") if "compute_capability:" in text else (f"test_{engine[1]}",)
    tests = session.posargs or ["-v", "test_common", *kinds]
    image, environment = image_of(session, stack), environment_of(stack)
    if image and kinds[0] == "test_gpu" and not (ROOT / "dockerfiles" / stack).is_dir():
        session.skip(f"{stack} is somebody else's image: `inv audit --stack {stack}` looks into it")
    if image:
        with tempfile.TemporaryDirectory() as stubs:
            mounts = [f"{ROOT}/tests/images:/smoke:ro", f"{ROOT}/dockerfiles/{stack}:/stack:ro"]
            given = ["--env", f"BLACKSTACK_COMMAND={json.dumps(command_of(session, stack))}"]
            if driver_stub(session, Path(stubs)):
                mounts.append(f"{stubs}:/stubs:ro")
                given += ["--env", "BLACKSTACK_STUBS=/stubs"]
            volumes = [word for mount in mounts for word in ("--volume", mount)]
            session.run(*CAGE, *volumes, *given, image, "-m", "unittest", *tests, external=True)
    if environment:
        places = {
            "BLACKSTACK_STACK": str(ROOT / "dockerfiles" / stack),
            "BLACKSTACK_MODELS": str(ROOT / ".blackstack/cache/models"),
        }
        with session.chdir(ROOT / "tests/images"):
            session.run(str(environment), "-B", "-m", "unittest", *tests, env=places, external=True)
    if not image and not environment:
        session.skip(f"{stack} is not here, get it with: inv build --stack {stack}")


@nox.session(name="diagnose-eval", venv_backend="none")
def diagnose_eval(session: nox.Session) -> None:
    """Score the diagnosis on labelled logs that are kept outside this repository, where they are there."""
    labelled = Path(session.posargs[0]) if session.posargs else ROOT.parent / "shared/errors/errors.jsonl"
    if not labelled.is_file():
        session.skip(f"there are no labelled logs at {labelled}; name a file after --")
    tool = dev(session)
    words = ("blackstack.diagnose.evaluate", str(labelled), "--at-least", "0.95")
    session.run(tool("python"), "-m", *words, external=True)


@nox.session(name="parsers", venv_backend="none", default=False)
def parsers(session: nox.Session) -> None:
    """Take the flags of an engine's version from its wheel: nox -s parsers -- vllm==0.33.0 sglang==0.5.23."""
    if not session.posargs:
        session.error("name a wheel, such as vllm==0.33.0")
    for wanted in session.posargs:
        if not re.fullmatch(r"(vllm|sglang)==[\w.]+", wanted):
            session.error(f"a wheel is named as vllm==0.33.0 or sglang==0.5.23, not {wanted!r}")
        with tempfile.TemporaryDirectory() as folder:
            take_parser(session, wanted, Path(folder))
    # Our own server for llama.cpp is no wheel.
    pins = (ROOT / "dockerfiles/llamacpp-cpu/requirements.txt").read_text()
    version = re.search(r"^xllamacpp==(\S+)", pins, re.MULTILINE)
    if version:
        words = ("--script", str(ROOT / "dockerfiles/llamacpp-cpu/serve.py"), "--version", version[1])
        session.run(sys.executable, str(EXTRACT), *words, external=True)


def take_parser(session: nox.Session, wanted: str, folder: Path) -> None:
    """Make the environment that a wheel's parser needs, without kernels for GPUs, and write its flags down."""
    bare = [sys.executable, "-m", "venv", str(folder / "venv")]
    session.run(*bare, external=True)
    tool = Tools(folder / "venv")
    pip = (tool("python"), "-m", "pip", "--disable-pip-version-check")
    here = ("--no-deps", "--only-binary=:all:", "--dest", str(folder))
    session.run(*pip, "download", "--quiet", *here, wanted, external=True)
    (wheel,) = folder.glob("*.whl")
    listed = session.run(tool("python"), str(EXTRACT), "--requirements", str(wheel), silent=True, external=True)
    asked, newest = folder / "requirements.txt", folder / "names.txt"
    asked.write_text(str(listed))
    newest.write_text(re.sub(r"(?m)^([\w.-]+(?:\[[\w,-]+\])?)[^;\n]*", r"\1", str(listed)))
    # The CPU build, whichever release the wheel asks for: a parser is made of Python.
    torch = ("--no-deps", "--index-url", os.environ.get("TORCH_INDEX", TORCH_INDEX), TORCH)
    session.run(*pip, "install", "--quiet", *torch, external=True)
    session.run(*pip, "install", "--quiet", *TORCH_NEEDS, external=True)
    try:
        session.run(*pip, "install", "--quiet", "--requirement", str(asked), external=True)
    except nox.command.CommandFailed:
        session.log("# The versions asked for are not to be had together; a parser is made with the newest too")
        session.run(*pip, "install", "--quiet", "--requirement", str(newest), external=True)
    session.run(tool("python"), str(EXTRACT), str(wheel), external=True)


@nox.session(name="audit-oracle", venv_backend="none")
def audit_oracle(session: nox.Session) -> None:
    """Hold the audit's reader of GPU code against NVIDIA's own compiler and cuobjdump, from PyPI."""
    tool = dev(session, "oracle")
    (cuda,) = (DEV.parent / "oracle").glob("lib/python*/site-packages/nvidia/cu*/bin")
    for program in [*cuda.iterdir(), *cuda.parent.glob("nvvm/bin/*")]:
        program.chmod(0o755)  # pip forgets that they may be executed
    path = f"{cuda}{os.pathsep}{os.environ['PATH']}"
    words = session.posargs or ["tests/unit/audit/test_real.py"]
    env = {"PATH": path, "BLACKSTACK_REQUIRE_CUOBJDUMP": "1"}
    session.run(tool("python"), "-m", "pytest", *words, env=env, external=True)


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """Feed the audit's readers with what a coverage-guided fuzzer makes up: 20 seconds, or as many as after --."""
    if sys.version_info >= (3, 15):
        session.skip("atheris has no wheel for this Python")
    tool = dev(session, "fuzz")
    seconds = session.posargs[0] if session.posargs else "20"
    corpus = tempfile.mkdtemp(prefix="audit-fuzz-")
    try:
        script = str(ROOT / "benchmarks/audit_fuzz.py")
        with session.chdir(corpus):  # libFuzzer leaves the input that broke something beside it
            session.run(tool("python"), script, "corpus", f"-max_total_time={seconds}", external=True)
    finally:
        shutil.rmtree(corpus)


@nox.session(name="audit-wheels", venv_backend="none", default=False)
def audit_wheels(session: nox.Session) -> None:
    """Audit real pairs of torch and packages, then really load them: gigabytes, an hour; words go on to the script."""
    tool = dev(session)
    with tempfile.TemporaryDirectory(prefix="audit-wheels-", dir=os.environ.get("TMPDIR")) as store:
        script = str(ROOT / "benchmarks/audit_truth.py")
        words = session.posargs or ["--out", str(ROOT / "results/audit/truth.json")]
        session.run(tool("python"), script, store, *words, external=True)


@nox.session(name="torch-symbols", venv_backend="none", default=False)
def torch_symbols(session: nox.Session) -> None:
    """Add releases of torch to the table behind the ABI lock: `nox -s torch-symbols -- 2.16.0`."""
    if not session.posargs:
        session.error("which release? nox -s torch-symbols -- 2.16.0")
    session.run(dev(session)("python"), "-m", "blackstack.audit.symbols", *session.posargs, external=True)


def pytest(session: nox.Session, folder: str) -> None:
    """Run one folder of tests in the shared environment."""
    tool = dev(session)
    if not list((ROOT / folder).glob("test_*.py")):
        session.skip(f"{folder} has no tests")
    words = session.posargs or [folder]
    session.run(tool("python"), "-m", "pytest", *words, external=True)


class Tools:
    """Finds the commands of an environment."""

    def __init__(self, environment: Path) -> None:
        self.folder = environment / "bin"

    def __call__(self, name: str) -> str:
        """Return the path of a command."""
        return str(self.folder / name)


def dev(session: nox.Session, *extra: str) -> Tools:
    """Make the environment that the sessions share, or one with an extra group, unless it is there and up to date."""
    folder = DEV.with_name("-".join(extra) or DEV.name)
    groups = nox.project.dependency_groups(PYPROJECT, *extra) if extra else GROUPS
    tools = Tools(folder)
    made_from = folder / "made-from"
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not made_from.is_file() or made_from.read_text() != digest:
        session.log(f"# Making .nox/{folder.name}")
        session.run(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
        session.run(tools("python"), "-m", "pip", "install", "--quiet", "-e", str(ROOT), *groups, external=True)
        made_from.write_text(digest)
    return tools


def shell_scripts() -> list[str]:
    """Find the shell scripts by their first line: the ones in .ci have no ending."""
    candidates = [path for path in [*ROOT.glob(".ci/*"), *ROOT.glob("**/*.sh")] if path.is_file()]
    hidden = {".nox", ".blackstack", ".git", ".venv"}
    ours = [path for path in candidates if not hidden & set(path.relative_to(ROOT).parts)]
    return [str(path) for path in sorted(ours) if re.match(rb"#!.*\b(ba|da)?sh\b", path.read_bytes()[:80])]


def parse_alone(session: nox.Session, path: Path) -> None:
    """Let compose parse one file as a server would see it: alone, with an empty environment."""
    session.log(f"# {path.name}, alone in an empty folder")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with session.chdir(folder):
            session.run(
                *("docker", "compose", "--file", path.name, "config", "--quiet"),
                env=bare,
                include_outer_env=False,
                external=True,
            )


def no_compose(session: nox.Session) -> str:
    """Say why compose files cannot be parsed here, or nothing."""
    if not shutil.which("docker"):
        return "there is no docker command"
    version = session.run("docker", "compose", "version", success_codes=range(256), silent=True, external=True)
    return "" if version and "version" in str(version).lower() else "docker has no compose plugin"


def skip_docker(session: nox.Session, reason: str) -> None:
    """Skip with the reason, or fail with it where Docker has to be there."""
    if REQUIRE_DOCKER:
        session.error(f"BLACKSTACK_REQUIRE_DOCKER=1, but {reason}")
    session.skip(f"{reason}; all else was checked")


def image_of(session: nox.Session, stack: str) -> str:
    """Name the stack's image when an engine has it."""
    if no_compose(session):
        return ""
    file = f"compose/{stack}.yaml"
    said = session.run("docker", "compose", "--file", file, "config", "--images", silent=True, external=True)
    name = str(said).splitlines()[-1]  # above it stand compose's warnings, if any
    found = session.run(
        *("docker", "image", "inspect", "--format", "{{.Id}}", name),
        success_codes=range(256),
        silent=True,
        external=True,
    )
    return name if str(found).startswith("sha256:") else ""


def command_of(session: nox.Session, stack: str) -> list[str]:
    """Return the words that compose would give the server."""
    said = session.run(
        *("docker", "compose", "--file", f"compose/{stack}.yaml", "config", "--format", "json"),
        silent=True,
        external=True,
    )
    text = str(said)
    words = json.loads(text[text.index("{") :])["services"]["server"].get("command") or []
    return [str(word) for word in words]


def driver_stub(session: nox.Session, folder: Path) -> bool:
    """Compile a libcuda.so.1 with the driver's names and nothing behind them, where there is no driver but gcc.

    Compiled parts of the engines name it, and so cannot even be loaded on a machine without a driver.
    """
    if Path("/dev/nvidiactl").exists() or not shutil.which("gcc"):
        return False
    source = folder / "stub.c"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in DRIVER_CALLS))  # CUDA_ERROR_NO_DEVICE
    library = str(folder / "libcuda.so.1")
    session.run("gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, str(source), external=True)
    folder.chmod(0o755)
    return True


def environment_of(stack: str) -> Path | None:
    """Find the python of the environment that `inv up --runtime process` made last."""
    complete = ROOT.glob(f".blackstack/venvs/{stack}-*/blackstack-complete")
    newest = max(complete, key=lambda path: path.stat().st_mtime, default=None)
    return newest.parent / "bin" / "python" if newest else None

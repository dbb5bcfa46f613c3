"""A GPU inside a container: the toolkit, CDI, SELinux, a rootless engine."""

from __future__ import annotations

from blackstack.doctor.case import Case
from blackstack.doctor.knowledge import knowledge
from blackstack.doctor.texts import found
from blackstack.facts.containers import EngineFacts
from blackstack.finding import Finding, Severity
from blackstack.versions import numbers


def check_toolkit(case: Case) -> Finding | None:
    """There is a way for a GPU into a container."""
    engine = _engine(case)
    if engine is None or "nvidia" in engine.runtimes or _cdi_works(case):
        return None
    toolkit = case.facts.toolkit
    evidence = [f"runtimes: {', '.join(engine.runtimes)}", f"CDI folders: {', '.join(engine.cdi_folders) or 'none'}"]
    if toolkit.hook or toolkit.version:
        return found("toolkit-not-configured", evidence=[*evidence, f"toolkit: {toolkit.version or toolkit.hook}"])
    return found("toolkit-missing", severity="error" if case.in_docker else "warning", evidence=evidence)


def check_toolkit_version(case: Case) -> Finding | None:
    """The toolkit keeps containers inside."""
    version, needed = case.facts.toolkit.version if _engine(case) else "", str(knowledge()["software"]["toolkit"])
    if not numbers(version) or numbers(version) >= numbers(needed):
        return None
    return found("toolkit-unsafe", {"version": version, "needed": needed})


def check_cdi(case: Case) -> Finding | None:
    """The CDI spec was made for the driver that runs."""
    engine = _engine(case)
    if engine is None:
        return None
    driver = case.facts.gpus.driver
    stale = [spec for spec in case.facts.toolkit.cdi if spec.driver and driver and spec.driver != driver]
    if not stale:
        return None
    values = {"old": stale[0].driver, "new": driver, "path": stale[0].path}
    severity: Severity = "warning" if "nvidia" in engine.runtimes else "error"  # the other way is still open
    return found("cdi-stale", values, severity=severity, evidence=[spec.path for spec in stale])


def check_selinux(case: Case) -> Finding | None:
    """SELinux lets containers use the GPU's devices."""
    if _engine(case) is None:
        return None
    toolkit = case.facts.toolkit
    if toolkit.selinux != "enforcing" or toolkit.selinux_devices is not False:
        return None
    return found("selinux-devices", evidence=["SELinux: enforcing", "container_use_devices: off"])


def check_rootless(case: Case) -> Finding | None:
    """A rootless engine has a way to the GPU that needs no root."""
    engine = _engine(case)
    if engine is None or not engine.rootless or _cdi_works(case):
        return None
    return found("rootless-gpu")


def check_reload(case: Case) -> Finding | None:
    """`systemctl daemon-reload` leaves running containers their GPU."""
    engine = _engine(case)
    if engine is None or engine.cgroup_driver != "systemd" or _cdi_works(case):
        return None
    return found("gpu-lost-on-reload") if "nvidia" in engine.runtimes else None


def _engine(case: Case) -> EngineFacts | None:
    """Return the engine if a card that is there would go into one of its containers."""
    return case.facts.engine if case.gpu_in_docker else None


def _cdi_works(case: Case) -> bool:
    engine, version = case.facts.engine, case.host.engine.version if case.host.engine else ""
    is_on = engine and (engine.cdi_folders or numbers(version) >= numbers(str(knowledge()["software"]["cdi"])))
    return bool(is_on and case.facts.toolkit.cdi)

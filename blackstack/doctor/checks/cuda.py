"""Driver and image: will this driver run that CUDA? Asked of the image's metadata, before it is pulled.

A driver runs its own CUDA version and every older one. Within a major version newer programs start too, but PTX of a
newer compiler is refused. Data-centre cards can carry a newer libcuda in the image; GeForce cards cannot.
Source: https://docs.nvidia.com/deploy/cuda-compatibility/
"""

from __future__ import annotations

from blackstack.doctor.case import Case
from blackstack.doctor.checks.gpu import driver_cuda
from blackstack.doctor.knowledge import first_toolkit, knowledge, least_driver
from blackstack.doctor.require import is_met
from blackstack.doctor.texts import found
from blackstack.facts.gpu import Gpu
from blackstack.facts.image import ImageFacts
from blackstack.finding import Finding
from blackstack.versions import numbers


def check_driver(case: Case) -> Finding | None:
    """The driver is one that the stack's author found to be new enough."""
    plan, driver = case.plan, case.facts.gpus.driver if case.wants_gpu else ""
    needed = plan.stack.x.needs.driver if plan else None
    if plan is None or not needed or not numbers(driver) or numbers(driver) >= numbers(needed):
        return None
    # A branch has one CUDA version: 580 is 13.0 from its first driver on.
    branch = numbers(needed)[0]
    cuda = next((cuda for cuda, first in knowledge()["driver"].items() if numbers(first)[0] >= branch), "")
    return found("driver-too-old", {"who": plan.stack.name, "needed": needed, "driver": driver, "cuda": cuda})


def check_image(case: Case) -> Finding | None:
    """The driver runs the CUDA that is in the image, and that CUDA makes code for the card."""
    plan, card = case.plan, case.card if case.wants_gpu else None
    if plan is None or card is None or not plan.image or plan.steps_of("build"):
        return None
    image = case.facts.image(plan.image)
    if image.unknown:
        needed = plan.stack.x.needs.driver or "not named"
        values = {"image": plan.image, "stack": plan.stack.name, "needed": needed}
        return found("image-not-checked", {"reason": image.unknown, **values})
    return _against(case, card, image) if image.cuda else None


def _against(case: Case, card: Gpu, image: ImageFacts) -> Finding | None:
    driver, had = case.facts.gpus.driver, driver_cuda(case)
    wanted = numbers(image.cuda)[:2]
    first = first_toolkit(card.compute_capability)
    evidence = [f"CUDA_VERSION={image.cuda} ({image.source})"]
    evidence += [f"NVIDIA_REQUIRE_CUDA={image.require.split()[0]} …"] if image.require else []
    values = {"driver": driver, "needed": least_driver(image.cuda) or "a newer one", "cuda": _short(image.cuda)}
    met = is_met(image.require, cuda=had, driver=driver, brand=card.brand, arch=card.compute_capability)
    carried = bool(image.require) and met  # with forward compatibility, on cards that have it
    if first and wanted < numbers(first):
        values = {"gpu": card.name, "capability": card.compute_capability, "image": image.name}
        return found(
            "image-without-gpu-code", {"needed": first, "cuda": _short(image.cuda), **values}, evidence=evidence
        )
    if not had or numbers(had) >= wanted:
        return None
    if not carried and (numbers(had)[0] < wanted[0] or not met):
        return found("driver-too-old", {"who": image.name, **values}, evidence=evidence)
    return found("driver-older-than-image", {"had": had, **values}, evidence=evidence)


def _short(cuda: str) -> str:
    return ".".join(map(str, numbers(cuda)[:2]))

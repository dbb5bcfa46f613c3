"""Looks before anything starts: a machine, and a plan where there is one, held against what is known to go wrong.

::

    checks/       the registry CHECKS and the checks themselves: from a case to a finding, or nothing
    case          what a check looks at          knowledge   which driver runs which CUDA, thresholds (TOML)
    texts         the words of each finding (findings.toml)  require     NVIDIA_REQUIRE_CUDA
    examination   all checks, or those before `inv up`       here        does a stack fit this machine?
    guide         docs/doctor.md
"""

from blackstack.doctor.case import Case, Check
from blackstack.doctor.checks import CHECKS
from blackstack.doctor.examination import Examination, examine, findings, refuse_if_blocked
from blackstack.doctor.here import PASSING, Here, fits_here, in_the_way

__all__ = [
    "CHECKS",
    "PASSING",
    "Case",
    "Check",
    "Examination",
    "Here",
    "examine",
    "findings",
    "fits_here",
    "in_the_way",
    "refuse_if_blocked",
]

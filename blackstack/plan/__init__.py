"""The hinge: (stack, host, wishes) → everything that `inv up` would do, with nothing done yet."""

from blackstack.plan.as_process import COMPLETE, environment_folder
from blackstack.plan.make import Plan, Wishes, make
from blackstack.plan.step import Step
from blackstack.plan.with_docker import build_step, compose_argv, tag_of

__all__ = ["COMPLETE", "Plan", "Step", "Wishes", "build_step", "compose_argv", "environment_folder", "make", "tag_of"]

"""All rules, in the order in which people should hear of them."""

from blackstack.lint.rules import alone, flags, gpu, safe, shape, steady, variables

RULES = (*shape.RULES, *alone.RULES, *safe.RULES, *steady.RULES, *gpu.RULES, *flags.RULES, *variables.RULES)

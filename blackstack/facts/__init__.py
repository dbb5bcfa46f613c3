"""What a doctor asks of a machine beyond `blackstack.host`: each subject a module, a pure reader and a thin look.

Nothing is changed, nothing started, and each answer is looked for once, when the first check asks for it: a stack that
needs no GPU never loads NVML.
"""

from blackstack.facts.all import Facts

__all__ = ["Facts"]

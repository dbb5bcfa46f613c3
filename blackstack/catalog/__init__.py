"""What can be served: compose/*.yaml and env/*.env → frozen, typed stacks."""

from blackstack.catalog.settings import Setting, Settings, settle
from blackstack.catalog.stack import Stack, load, load_all, names

__all__ = ["Setting", "Settings", "Stack", "load", "load_all", "names", "settle"]

"""Show C++ names as people write them, with the machine's own C++ library if it has one."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from typing import Any

_LONGEST = 2048


@lru_cache(maxsize=1)
def _library() -> Any:  # noqa: ANN401 - ctypes
    try:
        library = ctypes.CDLL(ctypes.util.find_library("stdc++") or "libstdc++.so.6")
        function = library["__cxa_demangle"]
        function.restype = ctypes.c_void_p
        function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        libc = ctypes.CDLL(None)
        libc.free.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    return function, libc


@lru_cache(maxsize=4096)
def demangle(name: str) -> str:
    """Return the readable form of NAME, or NAME itself where it is no C++ name or nothing can read it."""
    if not name.startswith("_Z") or len(name) > _LONGEST or not name.isascii() or not name.isprintable():
        return name
    found = _library()
    if found is None:
        return name
    function, libc = found
    status = ctypes.c_int()
    address = function(name.encode(), None, None, ctypes.byref(status))
    if not address:
        return name
    text = ctypes.string_at(address).decode("utf-8", "replace")
    libc.free(address)
    return text.replace(
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"
    )


def overload_prefix(name: str) -> str:
    """Return the part of a mangled nested name before its parameters: what overloads share.

    ``_ZN3c104cuda9SetDeviceEab`` gives ``_ZN3c104cuda9SetDeviceE``. Templates are left alone (empty).
    """
    at = next((n for n in (3, 4, 5) if name[n : n + 1].isdigit()), 0)
    if not name.startswith("_ZN") or not at:
        return ""
    while name[at : at + 1].isdigit():
        digits = at
        while name[digits : digits + 1].isdigit():
            digits += 1
        at = digits + int(name[at:digits])
    if name[at : at + 2] in {"C1", "C2", "D0", "D1", "D2"} or name[at : at + 1] != "E":
        at += 2
    return name[: at + 1] if name[at : at + 1] == "E" else ""

"""
The few functions of R's C interface that a request needs, called through ctypes.

Two handles on the same library: calls through ``PyDLL`` keep the GIL, because giving it up and taking it back around
50 calls of a tenth of a microsecond costs more than the calls as soon as another thread wants it, as the worker's event
loop does: a data.frame of 6 columns took 0.13 ms beside a busy thread, and 0.5 to 1.2 ms when every call released it.
The one call that runs the model goes through ``CDLL``, which does.

R raises by longjmp, which must never cross Python: only ``try_eval`` may raise, and it catches. Everything else here
cannot fail on arguments that have been checked; memory is bounded by the caller before it is asked for.
"""

from __future__ import annotations

import ctypes
from typing import Any

__all__ = ["INTSXP", "LGLSXP", "NA_INTEGER", "REALSXP", "STRSXP", "VECSXP", "RApi"]

LGLSXP, INTSXP, REALSXP, STRSXP, VECSXP = 10, 13, 14, 16, 19
NA_INTEGER = -(2**31)

_UTF8 = 1
_SEXP = ctypes.c_size_t
"""Addresses as plain integers: ctypes would turn a NULL c_void_p into None."""


class RApi:
    """One process has one R: make one of these after ``initr``."""

    def __init__(self, library: str) -> None:
        held, released = ctypes.PyDLL(library), ctypes.CDLL(library)

        def function(name: str, result: Any, *arguments: Any, handle: Any = held) -> Any:
            found = handle[name]
            found.restype, found.argtypes = result, list(arguments)
            return found

        def constant(name: str) -> int:
            return _SEXP.in_dll(held, name).value

        size, integer = ctypes.c_ssize_t, ctypes.c_int
        self.alloc_vector = function("Rf_allocVector", _SEXP, ctypes.c_uint, size)
        self.protect = function("Rf_protect", _SEXP, _SEXP)
        self.unprotect = function("Rf_unprotect", None, integer)
        self.preserve = function("R_PreserveObject", None, _SEXP)
        self.set_vector_elt = function("SET_VECTOR_ELT", _SEXP, _SEXP, size, _SEXP)
        self.vector_elt = function("VECTOR_ELT", _SEXP, _SEXP, size)
        self.set_string_elt = function("SET_STRING_ELT", None, _SEXP, size, _SEXP)
        self.string_elt = function("STRING_ELT", _SEXP, _SEXP, size)
        self.chars = function("R_CHAR", ctypes.c_char_p, _SEXP)
        self.set_attrib = function("Rf_setAttrib", _SEXP, _SEXP, _SEXP, _SEXP)
        self.get_attrib = function("Rf_getAttrib", _SEXP, _SEXP, _SEXP)
        self.copy_attributes = function("Rf_copyMostAttrib", None, _SEXP, _SEXP)
        self.data = function("DATAPTR", _SEXP, _SEXP)
        self.length = function("Rf_xlength", size, _SEXP)
        self.type_of = function("TYPEOF", integer, _SEXP)
        self.as_integer = function("Rf_asInteger", integer, _SEXP)
        self.lang2 = function("Rf_lang2", _SEXP, _SEXP, _SEXP)
        self._mk_char = function("Rf_mkCharLenCE", _SEXP, ctypes.c_char_p, integer, integer)
        self._install = function("Rf_install", _SEXP, ctypes.c_char_p)
        self._try_eval = function("R_tryEvalSilent", _SEXP, _SEXP, _SEXP, ctypes.c_void_p, handle=released)
        self._failed = ctypes.c_int(0)
        self._failed_at = ctypes.addressof(self._failed)
        self.interrupts_pending = ctypes.c_int.in_dll(held, "R_interrupts_pending")
        self.temp_dir = ctypes.c_char_p.in_dll(held, "R_TempDir")
        self.global_env, self.na_string, self.nil = (
            constant(name) for name in ("R_GlobalEnv", "R_NaString", "R_NilValue")
        )
        self.names, self.levels = self._install(b"names"), self._install(b"levels")

    def char(self, text: str) -> int:
        """The CHARSXP of a text without NUL; not protected."""
        encoded = text.encode()
        return int(self._mk_char(encoded, len(encoded), _UTF8))

    def try_eval(self, call: int) -> int:
        """Evaluate a call in the global environment; 0 when it raised, or was interrupted."""
        self._failed.value = 0
        value: int = self._try_eval(call, self.global_env, self._failed_at)
        return 0 if self._failed.value else value

    def strings(self, vector: int) -> list[str | None]:
        """The values of a STRSXP that is known to be UTF-8."""
        values = (self.string_elt(vector, i) for i in range(self.length(vector)))
        return [None if value == self.na_string else self.chars(value).decode("utf-8", "replace") for value in values]

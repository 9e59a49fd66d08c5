"""The compiler: `compile_text` and `compile_file` turn a map into a converter and its test, or raise `MapError`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..dsl.diagnostics import MapError
    from .driver import Compiled, compile_file, compile_text

__all__ = ["Compiled", "MapError", "compile_file", "compile_text"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """What `__all__` names, on first use: `mapc --help` comes through here and needs no parser."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ..dsl import diagnostics
        from . import driver

        return getattr(diagnostics if name == "MapError" else driver, name)

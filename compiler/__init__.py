"""The compiler: `compile_text` and `compile_file` turn a map into a converter and its test."""

from .driver import Compiled, compile_file, compile_text

__all__ = ["Compiled", "compile_file", "compile_text"]

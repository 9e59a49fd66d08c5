"""Requirements as calls of the runtime, their messages with the values that they name."""

from __future__ import annotations

from string import Formatter

from . import hir
from .emit import Env, expression, quoted


def requirement(node: hir.Require, env: Env) -> str:
    """`require(test, message)`; `{n}` in the message shows a value, and each index of the loops around is shown."""
    shown = _shown(node.message, env)
    told = {name for _, name in shown}
    more = [index for index in node.indices if index not in told]
    for index in more:
        shown.append((f"{' (' if index == more[0] else ', '}{index}=", index))
    shown.append((")" if more else "", None))
    inner = "".join(
        quoted(start)[1:-1].replace("{", "{{").replace("}", "}}")
        + (f"{{{env.names[name]}}}" if name else "")
        for start, name in shown
    )
    if not any(name for _, name in shown):
        message = quoted("".join(start for start, _ in shown))
    else:
        message = f'f"{inner}"'
    return f"require({expression(node.test, env)}, {message})"


def _shown(text: str, env: Env) -> list[tuple[str, str | None]]:
    """A message as pieces of text, each with the name whose value follows; as it is where its braces hold others."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return [(text, None)]
    names = [name for _, name, _, _ in parts if name is not None]
    formless = not any(form or conversion for _, _, form, conversion in parts)
    if not names or not formless or any(name not in env.names for name in names):
        return [(text, None)]
    return [(literal_text, name) for literal_text, name, _, _ in parts]

"""`mapc fmt`: the canonical form, written or compared."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from .command import Done, Mapc

ODD = """\
# Not as it should be
language 1
map odd: hf<->mcore
tensors {
  a.weight[ e ]<->b.weight[ e ]
}"""
CANONICAL = """\
# Not as it should be
language 1
map odd: hf <-> mcore
tensors {
    a.weight[e] <-> b.weight[e]
}
"""
DIFF = """\
--- odd.map
+++ odd.map
@@ -1,6 +1,6 @@
 # Not as it should be
 language 1
-map odd: hf<->mcore
+map odd: hf <-> mcore
 tensors {
-  a.weight[ e ]<->b.weight[ e ]
-}
\\ No newline at end of file
+    a.weight[e] <-> b.weight[e]
+}
"""


@pytest.fixture
def odd(folder: Path) -> Path:
    path = folder / "odd.map"
    path.write_text(ODD)
    return path


def test_rewrites_and_is_content(mapc: Mapc, odd: Path) -> None:
    assert mapc("fmt", "odd.map", "pair.map") == Done(
        0, "rewrote    odd.map\ncurrent    pair.map\n", ""
    )
    assert odd.read_text() == CANONICAL
    assert mapc("fmt", "odd.map") == Done(0, "current    odd.map\n", "")
    assert odd.read_text() == CANONICAL


def test_check_writes_nothing(mapc: Mapc, odd: Path) -> None:
    said = f"{DIFF}different  odd.map\ncurrent    pair.map\n"
    assert mapc("fmt", "--check", "odd.map", "pair.map") == Done(1, said, "")
    assert odd.read_text() == ODD


def test_json(mapc: Mapc, odd: Path) -> None:
    done = mapc("fmt", "--check", "odd.map", "--json")
    found = {"files": [{"path": "odd.map", "state": "different", "diff": DIFF}]}
    assert (done.code, json.loads(done.out), done.err) == (1, found, "")
    done = mapc("fmt", "odd.map", "--json")
    found = {"files": [{"path": "odd.map", "state": "rewrote"}]}
    assert (done.code, json.loads(done.out), done.err) == (0, found, "")


def test_line_ends_are_part_of_the_form(mapc: Mapc, odd: Path) -> None:
    odd.write_bytes(CANONICAL.replace("\n", "\r\n").encode())
    assert mapc("fmt", "--check", "odd.map").code == 1
    assert mapc("fmt", "odd.map").code == 0
    assert odd.read_bytes() == CANONICAL.encode()


def test_mode_and_link_stay(mapc: Mapc, odd: Path) -> None:
    odd.chmod(0o640)
    os.symlink("odd.map", "link.map")
    assert mapc("fmt", "link.map").out == "rewrote    link.map\n"
    assert Path("link.map").is_symlink() and odd.read_text() == CANONICAL
    assert stat.S_IMODE(odd.stat().st_mode) == 0o640


def test_no_map_is_rewritten_where_one_is_refused(mapc: Mapc, odd: Path) -> None:
    Path("no.map").write_text("language 2\n")
    done = mapc("fmt", "odd.map", "no.map")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error[M0102]: expected language version 1, found 2\n")
    assert odd.read_text() == ODD


def test_text_that_is_not_utf8(mapc: Mapc) -> None:
    Path("latin.map").write_bytes(b"# caf\xe9\n")
    text = (
        "error[M0001]: expected UTF-8 text, found byte 0xe9\n"
        " --> latin.map:1:6\n"
        "  |\n"
        "1 | # caf\\ufffd\n"
        "  |      ^^^^^^\n"
        "  = help: save the file in UTF-8\n"
    )
    for command in (["fmt"], ["check"], ["explain"], ["build", "-o", "out"]):
        assert mapc(*command, "latin.map") == Done(1, "", text)

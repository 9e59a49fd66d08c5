"""Files are replaced together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from mapc.compiler.text_files import TextFile, replace_files, text_file


def test_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    files = [text_file(tmp_path / "a", "after"), text_file(tmp_path / "b", "new")]
    below_a_file = TextFile(tmp_path / "a" / "c", "text", None)
    with pytest.raises(OSError):
        replace_files([*files, below_a_file])
    assert texts(tmp_path) == {"a": "before"}
    replace_files(files)
    assert texts(tmp_path) == {"a": "after", "b": "new"}


def texts(folder: Path) -> dict[str, str]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("found", "text", "difference"),
    [
        ("a\n", "a\n", ""),
        (None, "a\n", "--- /dev/null\n+++ f\n@@ -0,0 +1 @@\n+a\n"),
        ("a\n", "b\n", "--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b\n"),
        (
            "a",
            "a\n",
            "--- f\n+++ f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n",
        ),
        ("a\x0cb\n", "a\x0cc\n", "--- f\n+++ f\n@@ -1 +1 @@\n-a\x0cb\n+a\x0cc\n"),
        ("", "a\n", "--- f\n+++ f\n@@ -0,0 +1 @@\n+a\n"),
    ],
)
def test_difference(found: str | None, text: str, difference: str) -> None:
    file = TextFile(Path("f"), text, found)
    assert (file.difference, file.current) == (difference, not difference)

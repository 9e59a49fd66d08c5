"""`mapc build` and `mapc vendor`: what is written, when, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mapc.compiler import compile_file

from .command import Done, Mapc

WROTE = "wrote    out/pair.py\nwrote    out/test_pair.py\n"
CURRENT = "current  out/pair.py\ncurrent  out/test_pair.py\n"


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_writes_the_converter_and_its_test(mapc: Mapc) -> None:
    assert mapc("build", "pair.map", "-o", "out") == Done(0, WROTE, "")
    compiled = compile_file("pair.map")
    assert files_of(Path("out")) == {
        "pair.py": compiled.module.encode(),
        "test_pair.py": compiled.test.encode(),
    }


def test_folders_of_included_files(mapc: Mapc) -> None:
    assert mapc("build", "parted.map", "-o", "out", "-I", "library").code == 0
    compiled = compile_file("parted.map", include=["library"])
    assert Path("out/parted.py").read_text() == compiled.module
    rebuild = "# Rebuild it with: mapc build parted.map -o DIR --include DIR"
    assert compiled.module.splitlines()[1] == rebuild
    shutil.copytree("library/parts", "parts")
    assert "--include" not in compile_file("parted.map").module.splitlines()[1]


def test_current_files_are_left_alone(mapc: Mapc) -> None:
    mapc("build", "pair.map", "-o", "out")
    before = (os.stat("out/pair.py").st_ino, os.stat("out/pair.py").st_mtime_ns)
    assert mapc("build", "pair.map", "-o", "out") == Done(0, CURRENT, "")
    assert (os.stat("out/pair.py").st_ino, os.stat("out/pair.py").st_mtime_ns) == before
    assert mapc("build", "pair.map", "-o", "out", "--check") == Done(0, CURRENT, "")


def test_check_shows_what_is_stale(mapc: Mapc) -> None:
    mapc("build", "pair.map", "-o", "out")
    path = Path("out/pair.py")
    text = path.read_text()
    path.write_text(text.replace('"Config",', '"Konfig",', 1))
    number = text.splitlines().index('    "Config",') + 1
    lines = text.splitlines()[number - 4 : number + 3]
    diff = [f" {line}" for line in lines]
    diff[3:4] = ['-    "Konfig",', '+    "Config",']
    expected = "\n".join(
        [
            "--- out/pair.py",
            "+++ out/pair.py",
            f"@@ -{number - 3},7 +{number - 3},7 @@",
            *diff,
            "stale    out/pair.py",
            "current  out/test_pair.py",
            "",
            "stale or missing: 1 of 2 files; `mapc build` without --check writes them",
            "",
        ]
    )
    before = files_of(Path())
    assert mapc("build", "pair.map", "-o", "out", "--check") == Done(1, expected, "")
    assert files_of(Path()) == before
    assert mapc("build", "pair.map", "-o", "out").code == 0
    assert path.read_text() == text


def test_check_shows_what_is_missing(mapc: Mapc) -> None:
    mapc("build", "pair.map", "-o", "out")
    text = Path("out/test_pair.py").read_text()
    os.remove("out/test_pair.py")
    done = mapc("build", "pair.map", "-o", "out", "--check")
    lines = text.splitlines()
    assert done.code == 1
    assert done.out.splitlines() == [
        "--- /dev/null",
        "+++ out/test_pair.py",
        f"@@ -0,0 +1,{len(lines)} @@",
        *(f"+{line}" for line in lines),
        "current  out/pair.py",
        "missing  out/test_pair.py",
        "",
        "stale or missing: 1 of 2 files; `mapc build` without --check writes them",
    ]
    assert not Path("out/test_pair.py").exists()


def test_json(mapc: Mapc) -> None:
    def files(*more: str) -> object:
        done = mapc("build", "pair.map", "-o", "out", "--json", *more)
        assert done.err == ""
        return json.loads(done.out)

    paths = ("out/pair.py", "out/test_pair.py")
    assert files() == {"files": [{"path": path, "state": "wrote"} for path in paths]}
    assert files() == {"files": [{"path": path, "state": "current"} for path in paths]}
    text = Path(paths[1]).read_text()
    Path(paths[1]).write_text(text + "x = 1")
    count = len(text.splitlines())
    diff = (
        f"--- {paths[1]}\n+++ {paths[1]}\n@@ -{count - 2},4 +{count - 2},3 @@\n"
        + "".join(f" {line}\n" for line in text.splitlines()[-3:])
        + "-x = 1\n\\ No newline at end of file\n"
    )
    assert files("--check") == {
        "files": [
            {"path": paths[0], "state": "current"},
            {"path": paths[1], "state": "stale", "diff": diff},
        ]
    }


def test_nothing_is_written_where_one_map_is_refused(mapc: Mapc) -> None:
    before = files_of(Path())
    done = mapc("build", "pair.map", "broken.map", "-o", "out")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error[M0301]: the two sides have different parts\n")
    assert files_of(Path()) == before and not Path("out").exists()


def test_diagnostics_of_all_maps_are_told(mapc: Mapc) -> None:
    done = mapc("build", "broken.map", "renamed.map", "pair.map", "-o", "out", "--json")
    codes = [diagnostic["code"] for diagnostic in json.loads(done.out)["diagnostics"]]
    assert (done.code, done.err, codes) == (1, "", ["M0301", "M0242"])


def test_parts_are_chosen(mapc: Mapc) -> None:
    assert mapc("build", "pair.map", "-o", "out", "--with", "core").code == 0
    compiled = compile_file("pair.map", parts="core")
    assert Path("out/pair.py").read_text() == compiled.module
    assert Path("out/test_pair.py").read_text() == compiled.test
    assert mapc("build", "pair.map", "-o", "out", "--check", "--with", "core").code == 0
    assert mapc("build", "pair.map", "-o", "out", "--check").code == 1


def test_a_folder_that_cannot_be_made(mapc: Mapc) -> None:
    Path("file").write_text("")
    said = "error: file/out/pair.py: Not a directory\n"
    assert mapc("build", "pair.map", "-o", "file/out") == Done(2, "", said)


@pytest.mark.parametrize(
    "parts", [(), ("--with", "core,files")], ids=["", "without cli"]
)
def test_vendor_is_build_of_the_shipped_map(mapc: Mapc, parts: tuple[str, ...]) -> None:
    wrote = "wrote    vendored/llama_hf_mcore.py\nwrote    vendored/test_llama_hf_mcore.py\n"
    assert mapc("vendor", "llama_hf_mcore", "vendored", *parts) == Done(0, wrote, "")
    assert mapc("build", "llama_hf_mcore.map", "-o", "built", *parts).code == 0
    assert files_of(Path("vendored")) == files_of(Path("built"))
    assert mapc("vendor", "llama_hf_mcore", "vendored", *parts).out == wrote.replace(
        "wrote  ", "current"
    )

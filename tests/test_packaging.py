"""What is installed: a wheel built from the repository has every package, and all that the packages read at run time."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("compiler", "dsl", "generated", "templates")
SUFFIXES = {".py", ".lark", ".map", ".jinja", ".md"}
LEFT_OUT = shutil.ignore_patterns(
    ".*cache", ".git", ".venv*", ".hypothesis", "__pycache__", "build", "*.egg-info"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built in a copy: setuptools leaves its work beside the sources."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    copy = tmp_path_factory.mktemp("wheel") / "mapc"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
    code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(copy / done.stdout.split()[-1])


def test_wheel_has_every_file(wheel: zipfile.ZipFile) -> None:
    """Every module, grammar, map, template and explanation that stands in a package's folder, and nothing else."""
    sources = {
        f"mapc/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES or path.name == "py.typed"
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert sources == packed
    assert {"mapc/dsl/map.lark", "mapc/compiler/__main__.py"} <= packed
    for suffix in SUFFIXES:
        assert any(name.endswith(suffix) for name in packed), suffix


def test_wheel_carries_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    info = {
        name.split(".dist-info/")[1]: name
        for name in wheel.namelist()
        if ".dist-info/" in name
    }
    assert wheel.read(info["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    commands = wheel.read(info["entry_points.txt"]).decode()
    assert commands == "[console_scripts]\nmapc = mapc.compiler.__main__:main\n"


def test_every_folder_with_modules_is_a_package(wheel: zipfile.ZipFile) -> None:
    """A folder that pyproject.toml does not list imports here, from the repository, and is missing for a user."""
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    folders = {folder for folder in folders if "__pycache__" not in folder}
    packages = {
        Path(name).parent.as_posix()
        for name in wheel.namelist()
        if name.endswith(".py")
    }
    assert {f"mapc/{folder}" for folder in folders} == packages
    for folder in folders:
        assert (ROOT / folder / "__init__.py").exists(), folder


def test_static_tools_see_the_same_packages() -> None:
    """.typing/mapc has a link for each folder: mypy and pyright run no import hook of an editable install."""
    links = ROOT / ".typing" / "mapc"
    assert {path.name for path in links.iterdir()} == set(FOLDERS)
    for path in links.iterdir():
        assert path.resolve() == ROOT / path.name

"""Included files: where they are found, what is refused, and what becomes of them in a converter."""

from __future__ import annotations

from pathlib import Path

import pytest
from mapc.compiler.driver import plan_file, plan_text
from mapc.dsl.diagnostics import MapError

MAP = """language 1
map main: a <-> b
include "parts/one.map"
config {
    e: e <-> e
}
tensors {
    use one(x, y)
}
"""
ONE = "language 1\ndef one(a, b) {\n    a.WORD[e] <-> b.WORD[e]\n}\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def names(path: Path, *include: Path) -> list[str]:
    """The left names of a map's statements."""
    proofs = plan_file(path, include=include).proven.proofs
    parts = [proof.statement.left[0].names[0].name.parts for proof in proofs]
    return ["".join(getattr(part, "text", "{}") for part in found) for found in parts]


def refused(path: Path, *include: Path) -> str:
    with pytest.raises(MapError) as error:
        plan_file(path, include=include)
    return str(error.value)


def one(word: str) -> str:
    return ONE.replace("WORD", word)


def test_a_file_is_looked_for_beside_the_map_then_in_the_folders_in_order(
    tmp_path: Path,
) -> None:
    main = write(tmp_path / "main", {"main.map": MAP}) / "main.map"
    first = write(tmp_path / "first", {"other.map": ""})
    second = write(tmp_path / "second", {"parts/one.map": one("second")})
    third = write(tmp_path / "third", {"parts/one.map": one("third")})
    assert names(main, first, second, third) == ["x.second"]
    assert names(main, third, second) == ["x.third"]
    write(tmp_path / "main", {"parts/one.map": one("beside")})
    assert names(main, second, third) == ["x.beside"]


def test_a_text_has_no_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"parts/one.map": one("here")})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MapError, match="M0131"):
        plan_text(MAP)
    assert plan_text(MAP, include=[tmp_path]).proven.proofs


def test_an_included_file_includes_what_is_beside_it(tmp_path: Path) -> None:
    files = {
        "main.map": MAP,
        "parts/one.map": 'language 1\ninclude "two.map"\ninclude "inner/two.map"\n',
        "parts/two.map": one("two"),
        "parts/inner/two.map": "language 1\ntensors {\n    inner[e] <-> inner[e]\n}\n",
        "two.map": one("wrong"),
    }
    assert names(write(tmp_path, files) / "main.map") == ["inner", "x.two"]


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"one.map": one("outside")})
    main = write(tmp_path / "main", {"main.map": MAP, "parts/two.map": one("in")})
    link = tmp_path / "main" / "parts" / "one.map"
    link.symlink_to(outside / "one.map")
    assert refused(main / "main.map") == (
        "error[M0132]: `parts/one.map` leads out of the folder that it is in\n"
        " --> main.map:3:1\n"
        "  |\n"
        '3 | include "parts/one.map"\n'
        "  | ^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  = help: a link to a file in another folder is not followed"
    )
    link.unlink()
    link.symlink_to(main / "parts" / "two.map")
    assert names(main / "main.map") == ["x.in"]


def test_a_folder_of_links_is_no_way_out(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"one.map": one("outside")})
    main = write(tmp_path / "main", {"main.map": MAP})
    (main / "parts").symlink_to(outside, target_is_directory=True)
    assert "error[M0132]" in refused(main / "main.map")


def test_a_file_that_is_named_as_a_map_and_is_none(tmp_path: Path) -> None:
    main = write(tmp_path, {"main.map": MAP})
    (tmp_path / "parts" / "one.map").mkdir(parents=True)
    assert "error[M0131]" in refused(main / "main.map")


def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = write(tmp_path, {"main.map": MAP, "parts/one.map": one("in")})
    real = Path.open

    def fail(path: Path, mode: str = "r", **given: object) -> object:
        if path.name == "one.map":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(PermissionError, match="one.map"):
        plan_file(main / "main.map")


def test_files_that_are_too_deep_in_one_another(tmp_path: Path) -> None:
    chain = {
        f"parts/{n}.map": f'language 1\ninclude "{n + 1}.map"\n' for n in range(20)
    }
    first = {"main.map": MAP, "parts/one.map": 'language 1\ninclude "0.map"\n'}
    assert refused(write(tmp_path, first | chain) / "main.map") == (
        "error[M0134]: expected at most 16 files included in one another, found more\n"
        " --> parts/14.map:2:1\n"
        "  |\n"
        '2 | include "15.map"\n'
        "  | ^^^^^^^^^^^^^^^^"
    )


@pytest.mark.parametrize("count", [1, 3])
def test_files_that_are_too_long(tmp_path: Path, count: int) -> None:
    """One of more characters than a map may have, and a short one that is included very often."""
    double = "".join('include "b.map"\n' for _ in range(400 * (count > 1)))
    files = {
        "main.map": MAP,
        "parts/one.map": f"language 1\n{double}# {'.' * (200_000 // count)}\n",
        "parts/b.map": f"language 1\n# {'.' * 400}\n",
    }
    text = refused(write(tmp_path, files) / "main.map")
    assert text.startswith(
        "error[M0002]: expected at most 200000 characters, found 200014\n"
        if count == 1
        else "error[M0134]: expected at most 200000 characters of included text, found more\n"
    )


def test_the_digest_is_of_all_texts(tmp_path: Path) -> None:
    main = write(tmp_path, {"main.map": MAP, "parts/one.map": one("in")}) / "main.map"
    before = plan_file(main).digest
    assert plan_file(main).digest == before
    write(tmp_path, {"parts/one.map": one("in") + "# a comment\n"})
    assert plan_file(main).digest != before

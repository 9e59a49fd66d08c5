"""A place to convert in, made once a file of tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from .children import Place, new_place


@pytest.fixture(scope="module")
def all_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = new_place(tmp_path_factory.mktemp("faults"))
    yield place
    shutil.rmtree(place.folder)


@pytest.fixture
def place(all_tests: Place) -> Place:
    """A folder with nothing but the source."""
    all_tests.set_up(overwrite=False)
    return all_tests

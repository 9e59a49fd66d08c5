"""Lets an assertion in a helper of these tests say what differs, as one in a test does."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.oracle.records")

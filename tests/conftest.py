"""Settings of all tests. Found by pytest; a test imports nothing from here."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples in every run, so that a failure is seen again; other ones, and more, where MAPC_LONG=1 is set.
# No deadline, because a busy machine is no failure.
settings.register_profile(
    "mapc", deadline=None, derandomize=not os.environ.get("MAPC_LONG"), print_blob=True
)
settings.load_profile("mapc")

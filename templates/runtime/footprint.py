"""What this process takes, and may take: anonymous memory, and cores.

Anonymous memory is all that the process holds of its own, private or shared. The pages of files that it reads, writes or maps are
the system's, which takes them back when memory runs short.
"""

from __future__ import annotations

import os
import resource
import sys

from .errors import ConversionError
from .sizes import size_text

OWN = (b"RssAnon:", b"RssShmem:")  # of /proc/self/status, in KiB


def taken_memory() -> int:
    """The bytes of anonymous memory now; where the system does not tell, the most that was ever resident."""
    try:
        with open("/proc/self/status", "rb") as status:
            sizes = [line.split()[1] for line in status if line.startswith(OWN)]
            if sizes:
                return 1024 * sum(map(int, sizes))
    except OSError:
        pass  # not Linux
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def check_taken(when: str, limit: int | None) -> None:
    """ConversionError where the process takes more memory than allowed already; `when` says where it stands."""
    if limit is not None and (taken := taken_memory()) > limit:
        raise too_little(taken, limit, f"the process takes {size_text(taken)} {when}")


def too_little(needed: int, limit: int, what: str) -> ConversionError:
    """The error for a limit below what is needed. What is asked for allows for runs that differ a little."""
    megabytes = -(-needed // 1_000_000) + 1
    return ConversionError(
        f"--max-memory: expected {megabytes}MB or more, found {size_text(limit)}; {what}"
    )


def usable_cores() -> int:
    """The processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

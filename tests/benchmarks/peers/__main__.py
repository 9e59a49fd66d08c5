"""One conversion by a peer, in a process of its own: `python -m tests.benchmarks.peers PEER JOB SOURCE TARGET RANKS`.

A peer is a module here, and its jobs are functions of the source, the target and the number of ranks. The clock runs
around the job, from the first byte that is read until the files are there; what the peer imports, it has imported
before. The last line on stdout is the seconds. Where the peer is not installed the exit code is 4, and stderr says so.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

MISSING = 4


def main() -> int:
    peer, job, source, target, ranks = sys.argv[1:]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    try:
        module = importlib.import_module(f".{peer}", __package__)
    except ImportError as error:
        print(error, file=sys.stderr)
        return MISSING
    began = time.perf_counter()
    module.JOBS[job](Path(source), Path(target), int(ranks))
    print(json.dumps({"seconds": time.perf_counter() - began}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A conversion in a process of its own, its clock around `main`: what the converter takes from its call to its return.

    python child.py PRELOAD CONVERTER ARGUMENT...

The converter is imported before the clock starts, and so are the packages of PRELOAD, a list with commas. Whatever
else it imports, it imports while the clock runs. The last line on stdout is the seconds and the kernel's highest
resident size in bytes.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main() -> int:
    preload, converter, *arguments = sys.argv[1:]
    for package in filter(None, preload.split(",")):
        importlib.import_module(package)
    sys.path.insert(0, str(Path(converter).parent))
    module = importlib.import_module(Path(converter).stem)
    began = time.perf_counter()
    code = int(module.main(arguments))
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "resident": highest_resident()}))
    return code


def highest_resident() -> int:
    """In bytes; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    sys.exit(main())

"""What stands beside the weights of a target: files that are copied along, and documents."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from .stream import write_at
from .verifying import verify_copy, verify_document


def copy_files(source: str, folder: str, names: Iterable[str], verify: bool) -> None:
    """Copy these files of one directory to another; with `verify` they are read back and compared."""
    for name in names:
        original, path = os.path.join(source, name), os.path.join(folder, name)
        shutil.copyfile(original, path)
        if verify:
            verify_copy(original, path)


def write_documents(
    folder: str, documents: Mapping[str, Mapping[str, Any] | bytes], verify: bool
) -> None:
    """Write JSON files, and others as they are, by name; with `verify` they are read back and compared."""
    for name, document in documents.items():
        path = os.path.join(folder, name)
        text = document
        if not isinstance(text, bytes):
            text = f"{json.dumps(document, indent=2)}\n".encode("ascii")
        write_document(path, text)
        if verify:
            verify_document(path, text)


def write_document(path: str, text: bytes) -> None:
    """Write a file that does not exist yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_at(descriptor, memoryview(text), 0, path)
    finally:
        os.close(descriptor)

"""The line that shows how far a conversion is, with a clock that is set by hand."""

from __future__ import annotations

from io import StringIO

from mapc.templates.runtime.progress import ProgressLine

MB = 1_000_000


class Terminal:
    """A progress line, and what it writes at which second."""

    def __init__(self) -> None:
        self.now, self.out = 1000.0, StringIO()
        self.line = ProgressLine(self.out, lambda: self.now)

    def shown(self) -> list[str]:
        """What has been written since the last time."""
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        assert all(len(part) in (0, 70) for part in text.split("\r"))
        return [part.rstrip() for part in text.split("\r")[1:]]


def test_a_run() -> None:
    terminal = Terminal()
    terminal.line.announce("reading headers")
    assert terminal.shown() == ["reading headers ..."]
    terminal.line.announce("writing")
    assert terminal.shown() == ["writing ..."]
    terminal.now += 0.1
    terminal.line.show(10 * MB, 800 * MB)
    assert terminal.shown() == []  # a line was shown a moment ago
    terminal.now += 0.9
    terminal.line.show(100 * MB, 800 * MB)
    assert terminal.shown() == [" 12%  100.00 MB of 800.00 MB, 100.00 MB/s, 7 s left"]
    terminal.now += 0.01
    terminal.line.show(800 * MB, 800 * MB)
    assert terminal.shown() == ["100%  800.00 MB of 800.00 MB, 792.08 MB/s, 0 s left"]
    terminal.line.end()
    assert terminal.shown() == ["", ""]
    terminal.line.end()
    assert terminal.shown() == []


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A hundred quick seconds do not hide that it has become slow."""
    terminal = Terminal()
    terminal.line.announce("writing")
    for second in range(1, 101):
        terminal.now += 1
        terminal.line.show(second * 100 * MB, 20_000 * MB)
    assert terminal.shown()[-1] == " 50%  10.00 GB of 20.00 GB, 100.00 MB/s, 100 s left"
    for second in range(1, 11):
        terminal.now += 1
        terminal.line.show((10_000 + second) * MB, 20_000 * MB)
    assert terminal.shown()[-1] == " 50%  10.01 GB of 20.00 GB, 1.00 MB/s, 2:46 h left"


def test_one_step_in_a_long_while() -> None:
    terminal = Terminal()
    terminal.line.announce("writing")
    terminal.now += 1
    terminal.line.show(100 * MB, 1000 * MB)
    terminal.now += 60
    terminal.line.show(101 * MB, 1000 * MB)
    rate = 1 * MB / 60
    assert (
        terminal.shown()[-1]
        == f" 10%  101.00 MB of 1.00 GB, {rate / 1000:.2f} KB/s, 14:59 h left"
    )


def test_minutes() -> None:
    terminal = Terminal()
    terminal.line.announce("writing")
    terminal.now += 1
    terminal.line.show(10 * MB, 2880 * MB)
    assert (
        terminal.shown()[-1] == "  0%  10.00 MB of 2.88 GB, 10.00 MB/s, 4:47 min left"
    )


def test_nothing_to_write() -> None:
    terminal = Terminal()
    terminal.line.announce("writing")
    terminal.line.show(0, 0)
    assert terminal.shown()[-1] == "  0%  0 bytes of 0 bytes, 0 bytes/s, 0 s left"

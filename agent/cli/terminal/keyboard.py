"""What is typed while no prompt waits: not echoed over the answer, kept for the next prompt, never taken as consent."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def unechoed() -> Iterator[None]:
    """Keep typed keys off the screen and let the next prompt have them; Ctrl+C still interrupts."""
    try:
        import termios

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, termios.error):  # Windows, a pipe, no stdin at all
        yield
        return
    changed = termios.tcgetattr(descriptor)
    changed[0] &= ~termios.ICRNL  # Enter stays Enter
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    changed[3] |= termios.NOFLSH  # Ctrl+C keeps what was typed before it
    termios.tcsetattr(descriptor, termios.TCSANOW, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def forget_typed() -> None:
    """Drop what was typed before a question appeared."""
    with contextlib.suppress(OSError, ValueError):
        if sys.platform == "win32":
            import msvcrt

            while msvcrt.kbhit():
                msvcrt.getwch()
        else:
            import termios

            with contextlib.suppress(termios.error):
                termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    from prompt_toolkit.input.defaults import create_input
    from prompt_toolkit.input.typeahead import clear_typeahead

    clear_typeahead(create_input())

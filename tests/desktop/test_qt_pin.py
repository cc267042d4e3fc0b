"""Guards the PySide6 pin: 6.12.0 on Python 3.11 drops a reference to None on every void call and aborts after some
thousand calls."""

from __future__ import annotations

import subprocess
import sys

CALLS = 20_000

PROGRAM = f"""
import sys
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication, QWidget
app = QApplication([])
widget, thing = QWidget(), QObject()
before = sys.getrefcount(None)
for number in range({CALLS}):
    widget.update()
    thing.setObjectName("n")
    widget.setEnabled(True)
print(sys.getrefcount(None) - before)
"""


def test_twenty_thousand_void_calls_survive_and_keep_none_alive() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    if sys.version_info < (3, 12):  # None is immortal from 3.12 on, and its count a constant
        assert abs(int(done.stdout)) < CALLS

"""Names that tests and screen readers find a widget by."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget


def identify(widget: QWidget, object_name: str = "", accessible_name: str = "") -> None:
    """Sets those of the two names that are given."""
    if object_name:
        widget.setObjectName(object_name)
    if accessible_name:
        widget.setAccessibleName(accessible_name)

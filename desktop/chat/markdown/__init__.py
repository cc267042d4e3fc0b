"""Markdown as widgets: finished blocks are rendered once, only the end of a growing text is rendered again."""

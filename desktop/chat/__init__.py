"""The chat window: conversations at the side, one of them in full, and the line to write in."""

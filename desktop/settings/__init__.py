"""The settings window: one page a subject, each applied at once."""

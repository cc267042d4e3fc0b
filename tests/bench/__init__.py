"""Benchmarks of the budgets: TrayClaw, nanobot and a bare floor, side by side in one run. `python -m tests.bench`."""

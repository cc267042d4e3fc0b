"""The same scripted model and the same input to nanobot and to TrayClaw: `scripts/differential`. What differs is a
documented improvement, or a defect."""

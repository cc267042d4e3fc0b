"""TrayClaw's Qt application: it shows the agent's state and passes on what the person wants."""

"""The first run: where the thinking happens, a first answer, and a channel for whoever wants one."""

"""Hundreds of conversations over all channels at once, while the program is killed and the services misbehave."""

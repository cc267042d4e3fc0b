"""Peers on loopback for tests and benchmarks, as strict as the real ones: a model service and the Telegram Bot API."""

"""Decisions. Values in, values out: no I/O, no clock, no randomness, no logging may enter here."""

"""Beside a proxy or an agent: watch, fetch, swap, check, probe, report."""

"""The front desk: one file per command."""

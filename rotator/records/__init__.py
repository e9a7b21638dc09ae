"""Memory: the audit chain and the journal (audit line first, record second)."""

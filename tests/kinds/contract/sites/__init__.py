"""One file per kind, each with `SITES`: found by their place here."""

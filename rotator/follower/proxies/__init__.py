"""One file per proxy kind."""

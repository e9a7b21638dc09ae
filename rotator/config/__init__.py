"""The letterbox: load, normalise, check, freeze. All errors at once, each with file, line and path."""

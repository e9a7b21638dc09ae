"""What can be rotated. One file per kind; each declares itself as a `kinds.base.Kind`."""

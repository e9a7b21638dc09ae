"""What each kind adds to the configuration: one file per kind with its table, its checks and its frozen settings."""

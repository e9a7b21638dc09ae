"""What Vault and Consul must hold before the service can run: wanted (pure), and brought about (idempotent)."""

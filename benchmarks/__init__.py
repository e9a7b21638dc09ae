"""How many certificates a second: ours, the raw ceiling of the same Vault calls, and `bao agent`, in one run."""

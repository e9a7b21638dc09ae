"""Real servers on loopback: where their programs come from, and how each is started, frozen, sealed and ended."""

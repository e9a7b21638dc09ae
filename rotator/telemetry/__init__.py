"""Windows: metric names, expiry collector, counters, health, logs. Observers: they may fail, the street goes on."""

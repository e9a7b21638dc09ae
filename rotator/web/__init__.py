"""The counter: metrics, health and, later, the hook and the status page."""

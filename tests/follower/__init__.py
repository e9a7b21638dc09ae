"""Followers: convergence with fakes, and Envoy for real."""

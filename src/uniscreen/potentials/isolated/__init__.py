"""Backends whose dependencies clash with ours: each runs in an environment and a process of its own."""

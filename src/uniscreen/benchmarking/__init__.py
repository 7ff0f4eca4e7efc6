"""How far potentials are to be trusted: published protocols, run on any data."""

from uniscreen.benchmarking.discovery import DiscoveryRun, run_discovery

__all__ = ["DiscoveryRun", "run_discovery"]

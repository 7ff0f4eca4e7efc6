"""What the machine has to work with."""

from __future__ import annotations


def usable_cores() -> int:
    """Cores that this process may use: a batch system or a container may allow fewer than there are."""
    from joblib import cpu_count

    return int(cpu_count())

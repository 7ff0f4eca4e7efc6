"""What a check of the list gives: a number, its limit, and whether it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

CheckStatus = Literal["pass", "fail", "not run"]


class Limit(Protocol):
    """What a value is held to; ``str()`` of it is what is shown."""

    def holds(self, value: float) -> bool:
        """Whether the value is within the limit; NaN never is."""


@dataclass(frozen=True)
class Below:
    """Less than a number."""

    high: float

    def holds(self, value: float) -> bool:
        """Whether the value is below."""
        return value < self.high

    def __str__(self) -> str:
        return f"< {self.high:g}"


@dataclass(frozen=True)
class AtMost:
    """A number or less."""

    high: float

    def holds(self, value: float) -> bool:
        """Whether the value is not above."""
        return value <= self.high

    def __str__(self) -> str:
        return f"<= {self.high:g}"


@dataclass(frozen=True)
class Between:
    """Within two numbers, both included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value is within."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class Measurement(NamedTuple):
    """A value, None where the check broke down before there was one (which fails it), and what was done."""

    value: float | None
    detail: str


class NotRun(Exception):  # noqa: N818 (it is no error)
    """A check cannot be carried out; the text says why and what it needs."""


@dataclass(frozen=True)
class Check:
    """One row of the list.

    ``value`` is None where there is none that is finite; ``detail`` says what was done, or why it was not. A check that
    is not ``required`` is a stricter mark that few potentials reach, or is on other systems than the data's: a
    potential that fails it is not unsafe for its own.
    """

    name: str
    value: float | None
    unit: str
    limit: str
    status: CheckStatus
    detail: str
    required: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)

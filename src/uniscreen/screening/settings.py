"""What decides the numbers of a screen, and only that: two runs with equal settings give equal results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, get_args

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from uniscreen.potentials.cards import Functional
    from uniscreen.potentials.loading import Device, Precision
    from uniscreen.relaxation.optimisers import Optimiser


UNIT_SIZE = 8
"""Candidates in one unit of a deterministic run."""


@dataclass(frozen=True)
class ScreenSettings:
    """Settings of one screen.

    ``model``, ``head``, ``trust_model_file``, ``dtype`` and ``device`` are those of ``load_potential``; ``functional``
    is that of the training labels of a model file, which does not tell;
    ``relax`` positions and cell to ``fmax`` (eV/Å) in at most ``max_steps`` steps of ``optimiser``, or
    evaluate as given;
    structures of more than ``max_atoms`` atoms are not evaluated; ``limit`` keeps the first candidates only;
    ``prescreen`` stops relaxing what is not expected to come to within ``keep_below`` eV/atom above the hull;
    ``deterministic`` fixes which candidates share a batch, so that results are the same to the last bit.
    """

    model: str = "chgnet-0.3.0"
    head: str = ""
    trust_model_file: bool = False
    functional: Functional | None = None
    dtype: Precision | None = None
    device: Device = "auto"
    relax: bool = True
    fmax: float = 0.05
    max_steps: int = 500
    optimiser: Optimiser = "lbfgs"
    max_atoms: int = 1000
    limit: int | None = None
    prescreen: bool = False
    keep_below: float | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        self._check_kinds()
        for name, lowest in (("max_steps", 1), ("max_atoms", 1), ("limit", 1)):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise InputError(f"--{name.replace('_', '-')} is {value}, expected at least {lowest}.")
        if not 0 < self.fmax < float("inf"):
            raise InputError(f"--fmax is {self.fmax}, expected a positive force in eV/Å, e.g. 0.05.")
        self._check_prescreen()

    def _check_kinds(self) -> None:
        """The command line has done so; in Python a worker would be the first to notice."""
        from uniscreen.potentials.cards import Functional
        from uniscreen.potentials.loading import Device, Precision
        from uniscreen.relaxation.optimisers import Optimiser

        choices = {"functional": Functional, "dtype": Precision, "device": Device, "optimiser": Optimiser}
        for name, choice in choices.items():
            value = getattr(self, name)
            if value not in get_args(choice) and (value is not None or name in {"device", "optimiser"}):
                raise InputError(f"{name} is {value!r}, expected one of {', '.join(get_args(choice))}.")
        for name in ("fmax", "max_steps", "max_atoms", "limit", "keep_below"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Real):
                raise InputError(f"{name} is {value!r}, expected a number.")

    def _check_prescreen(self) -> None:
        if not self.prescreen:
            if self.keep_below is not None:
                raise InputError("--keep-below says what --prescreen is to keep; give both, or neither.")
        elif self.keep_below is None:
            raise InputError("--prescreen needs --keep-below, in eV/atom above the hull, e.g. --keep-below 0.1.")
        elif not 0 <= self.keep_below < float("inf"):
            raise InputError(f"--keep-below is {self.keep_below}, expected a distance above the hull in eV/atom.")
        elif not self.relax:
            raise InputError("--prescreen stops relaxations, and with --no-relax there are none. Give one of them.")

    @property
    def unit_size(self) -> int:
        """Candidates in one unit of work: a batch of its own where a run is deterministic."""
        return UNIT_SIZE if self.deterministic else 1

    def as_dict(self) -> dict[str, object]:
        """The settings as plain values, as they are written to the manifest."""
        return asdict(self)

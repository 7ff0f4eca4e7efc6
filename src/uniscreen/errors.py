"""Every error that uniscreen raises on purpose.

UniscreenError
├── InputError                  a file or setting given by the user is wrong as a whole
│   ├── UnknownModelError       no model card of that name
│   ├── MissingPackageError     a model's package is not installed
│   ├── DownloadError           weights cannot be fetched
│   ├── LicenceError            a licence that restricts use has not been accepted
│   ├── BackendUnavailableError an isolated backend's environment cannot be made, or its worker does not start
│   ├── ReferenceMismatchError  reference energies of another functional or correction scheme
│   ├── MaterialsProjectError   no key, a refused key, no network, or nothing there of what was asked
│   └── ResumeError             the output folder belongs to another input or other settings
├── BackendError                an isolated backend failed on one batch; the next one gets a new worker
├── ProcessEndedError           a process beside this one has ended before its work was done
├── TrainingProcessError        the same of one that took part in a training; the same call continues
└── StructureError              one structure cannot be evaluated; ``status`` is its row's status
    ├── InvalidStructureError
    ├── UnsupportedElementError
    ├── IsolatedAtomsError
    └── TooLargeError
"""

from __future__ import annotations

import signal
from typing import ClassVar, Literal


class UniscreenError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user."""


class InputError(UniscreenError, ValueError):
    """A file or a setting is wrong as a whole, so nothing can run."""


class UnknownModelError(InputError):
    """No model card has the given name."""


class MissingPackageError(InputError):
    """The package that a model needs is not installed."""


class DownloadError(InputError):
    """Weights cannot be fetched, or are not what was expected."""


class LicenceError(InputError):
    """The model's licence restricts its use and has not been accepted."""


class BackendUnavailableError(InputError):
    """The environment of an isolated backend cannot be made, or its worker process does not start."""


class ReferenceMismatchError(InputError):
    """Reference energies are of another functional or correction scheme than the model's."""


class MaterialsProjectError(InputError):
    """The Materials Project cannot be asked, refuses, or does not hold what was asked for."""


class ResumeError(InputError):
    """The output folder holds a run of another input or with other settings."""


class BackendError(UniscreenError):
    """The worker process of an isolated backend failed on one batch."""


class ProcessEndedError(UniscreenError):
    """A process beside this one has ended before its work was done; ``code`` is its exit code, or minus the signal."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        names = {number.value: number.name for number in signal.Signals}
        return f"was ended by {names.get(-self.code, f'signal {-self.code}')}"


class TrainingProcessError(UniscreenError):
    """A process that took part in a training has ended before its work was done."""


class StructureError(UniscreenError, ValueError):
    """One structure cannot be evaluated; the others are not affected."""

    status: ClassVar[Literal["failed", "invalid_structure", "unsupported_element", "isolated_atoms", "too_large"]] = (
        "failed"
    )


class InvalidStructureError(StructureError):
    """The structure cannot be read, or is not a crystal that can be computed."""

    status = "invalid_structure"


class UnsupportedElementError(StructureError):
    """The structure holds an element that the potential was not trained on."""

    status = "unsupported_element"


class IsolatedAtomsError(StructureError):
    """An atom has no neighbour within the potential's cutoff."""

    status = "isolated_atoms"


class TooLargeError(StructureError):
    """The structure or its file exceeds a size limit."""

    status = "too_large"

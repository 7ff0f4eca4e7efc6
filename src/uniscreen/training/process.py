"""A process that takes part in a training."""

from __future__ import annotations

import signal
from typing import Any

from uniscreen.errors import ProcessEndedError, TrainingProcessError
from uniscreen.processes import Process


class TrainingProcess(Process):
    """One whose end is told to the user as that of a training."""

    def receive(self) -> Any:
        """The next message of the process; an error that it sent is raised.

        Raises:
            TrainingProcessError: it has ended.
        """
        try:
            return super().receive()
        except ProcessEndedError as error:
            why = "what it wrote to standard error says why."
            if error.code == -signal.SIGKILL:
                why = "as happens when memory runs out; --workers 1 takes the least."
            raise TrainingProcessError(
                f"A process of the training {error}; {why} The same command continues."
            ) from None

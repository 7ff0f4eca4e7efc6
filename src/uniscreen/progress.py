"""Progress bars on stderr, for the commands and for the calls in Python. None are drawn without ``show``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

    from uniscreen.screening import Progress
    from uniscreen.training.members import Epoch


@contextmanager
def work_bars(*, show: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each kind of work, gone at the end.

    Gives what is to be told of progress: what is being done, how much of it is done, and of how much.
    """
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=20),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, disable=not show) as bar:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield update


@contextmanager
def screening_bar(*, show: bool) -> Iterator[tuple[Callable[[Progress], None], Callable[[str, int, int], None]]]:
    """A bar of candidates with rate, time left and counts by status.

    Gives what is to be told of candidates, and of what is fetched before.
    """
    from rich import progress as rich
    from rich.console import Console
    from rich.table import Column

    columns = (
        rich.BarColumn(bar_width=12),
        rich.MofNCompleteColumn(table_column=Column(no_wrap=True)),
        rich.TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True)),
        rich.TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        rich.TextColumn("left;", table_column=Column(no_wrap=True)),
        rich.TextColumn("{task.fields[counts]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with rich.Progress(*columns, console=Console(stderr=True), expand=True, disable=not show) as bar:
        task = bar.add_task("screening", total=None, rate="", counts="loading the model")
        shown = ""

        def update(progress: Progress) -> None:
            nonlocal shown
            what = ": ".join(filter(None, (progress.model, progress.what)))
            if what != shown:
                bar.reset(task)
            shown = what
            elapsed = bar.tasks[0].elapsed or 0.0
            fresh = progress.n_done - progress.resumed
            counts = ", ".join(f"{n} {status}" for status, n in sorted(progress.done.items(), key=_most_first))
            what = f"{what}: " if what else ""
            bar.update(
                task,
                total=progress.total,
                completed=progress.n_done,
                rate=f"{fresh / elapsed:.2f}/s" if fresh and elapsed else "",
                counts=what + (counts or "loading the model"),
            )

        def fetched(what: str, done: int, total: int) -> None:
            bar.update(task, total=total, completed=done, counts=f"{what} from the Materials Project")

        yield update, fetched


@contextmanager
def training_bars(*, show: bool) -> Iterator[tuple[Callable[[Epoch], None], Callable[[str], None]]]:
    """A bar a member, with its losses and the time left.

    Gives what is to be told of epochs, and of the checks afterwards.
    """
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=20),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[losses]}"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        tasks: dict[int | str, TaskID] = {}

        def update(epoch: Epoch) -> None:
            row = epoch.row
            if epoch.member not in tasks:
                tasks[epoch.member] = bar.add_task(f"member {epoch.member}", total=epoch.epochs, losses="")
            if str(row["event"]).startswith("rolled back"):
                if show:
                    bar.console.print(f"member {epoch.member}: {row['event']}", markup=False, highlight=False)
                return
            losses = "all frames"
            if row["validation_loss"] is not None:
                losses = (
                    f"validation {row['validation_energy_mae_meV_per_atom']:.1f} meV/atom, "
                    f"{row['validation_force_mae_meV_per_A']:.0f} meV/Å"
                )
            bar.update(tasks[epoch.member], completed=row["epoch"], total=epoch.epochs, losses=losses)

        def check(name: str) -> None:
            if "checks" not in tasks:
                tasks["checks"] = bar.add_task("checks", total=None, losses="")
            bar.update(tasks["checks"], losses=name, advance=1)

        yield update, check


@contextmanager
def last_line(before: str) -> Iterator[Callable[[str], None]]:
    """The last line of a log after some words, from the first line on.

    Gives what is to be told of its lines.
    """
    from rich.console import Console
    from rich.text import Text

    status = Console(stderr=True).status("")

    def update(line: str) -> None:
        status.update(Text(before + line.strip(), no_wrap=True, overflow="ellipsis"))
        status.start()

    try:
        yield update
    finally:
        status.stop()


def _most_first(item: tuple[str, int]) -> tuple[bool, int, str]:
    """``ok`` first, then by count."""
    return item[0] != "ok", -item[1], item[0]

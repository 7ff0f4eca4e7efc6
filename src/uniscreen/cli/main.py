"""The ``uniscreen`` command."""

from __future__ import annotations

import errno
import warnings

import click

import uniscreen
from uniscreen.cli.baselines import baselines
from uniscreen.cli.benchmark import benchmark
from uniscreen.cli.candidates import candidates
from uniscreen.cli.data import data
from uniscreen.cli.export import export
from uniscreen.cli.finetune import finetune
from uniscreen.cli.label import label
from uniscreen.cli.leaderboard import leaderboard
from uniscreen.cli.models import models
from uniscreen.cli.recipe import recipe
from uniscreen.cli.references import references
from uniscreen.cli.screen import screen
from uniscreen.cli.validate import validate
from uniscreen.errors import UniscreenError


class _Group(click.Group):
    """Turns errors that are meant for the user, and those of files, into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UniscreenError as error:
            message = str(error)
        except OSError as error:  # a folder that cannot be written, a full disk
            if error.errno == errno.EPIPE:  # click deals with it
                raise
            where = error.filename2 or error.filename
            message = f"{f'{where}: ' if where else ''}{error.strerror or error}."
        click.echo(f"Error: {message}", err=True)
        return ctx.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(uniscreen.__version__, prog_name="uniscreen")
def main() -> None:
    """Screen crystals with universal interatomic potentials, fine-tune these, and compare them.

    To begin with: 'uniscreen screen CANDIDATES'. 'uniscreen COMMAND --help' describes a command.
    """
    # pymatgen sorts formulas by electronegativity, and warns of helium, neon and argon, which have none.
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")


main.add_command(baselines)
main.add_command(benchmark)
main.add_command(candidates)
main.add_command(data)
main.add_command(export)
main.add_command(finetune)
main.add_command(label)
main.add_command(leaderboard)
main.add_command(models)
main.add_command(recipe)
main.add_command(references)
main.add_command(screen)
main.add_command(validate)

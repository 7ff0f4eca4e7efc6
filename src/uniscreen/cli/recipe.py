"""``uniscreen recipe``."""

from __future__ import annotations

from pathlib import Path

import click

from uniscreen.cli.console import standard_output

FILE = click.Path(path_type=Path)


@click.group()
def recipe() -> None:
    """List, show, check and copy recipes of fine-tuning."""


@recipe.command("list")
def list_recipes() -> None:
    """List the recipes that ship, and what each is for."""
    from rich.table import Table

    from uniscreen.training.shipped import purpose, shipped_recipes

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, path in shipped_recipes().items():
        table.add_row(name, purpose(path))
    standard_output().print(table)


@recipe.command()
@click.argument("name", type=FILE)
@click.option("--resolved", is_flag=True, help="Print every key with its default, without the comments.")
def show(name: Path, *, resolved: bool) -> None:
    """Print a recipe: one that ships, or a file."""
    from uniscreen.training.recipe_file import read_recipe
    from uniscreen.training.shipped import find_recipe

    path = find_recipe(name)
    recipe = read_recipe(path)  # also where it is printed as it is: what is wrong is an error
    click.echo(recipe.as_yaml() if resolved else path.read_text(encoding="utf-8"), nl=False)


@recipe.command()
@click.argument("name", type=FILE)
@click.argument("out", type=FILE)
@click.option("--train", help="File of labelled structures, for the new recipe's data.train.")
def new(name: Path, out: Path, train: str | None) -> None:
    """Copy a recipe to OUT, to be changed.

    NAME is one that ships, or a file. Its comments are kept.
    """
    import json
    import re

    import yaml

    from uniscreen.errors import InputError
    from uniscreen.training.recipe_file import checked, read_recipe
    from uniscreen.training.shipped import find_recipe

    path = find_recipe(name)
    read_recipe(path)
    if out.exists():
        raise InputError(f"{out} exists. Give another name.")
    text = path.read_text(encoding="utf-8")
    if train is not None:
        value = json.dumps(train, ensure_ascii=False)  # quotes, and escapes that YAML has too
        text = re.sub(r"(?m)^(\s*train:)[^#\n]*", lambda found: f"{found[1]} {value}  ", text, count=1)
        if checked(yaml.safe_load(text), str(path)).data.train != Path(train):
            raise InputError(f"{path} has no line 'train: FILE' in its data to put {train} in. Add one there.")
    out.write_text(text, encoding="utf-8")
    click.echo(out)


@recipe.command()
@click.argument("file", type=FILE)
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
def validate(file: Path, settings: tuple[str, ...]) -> None:
    """Check a recipe's keys, values and files, without a model."""
    from uniscreen.errors import InputError
    from uniscreen.training.recipe_file import read_recipe
    from uniscreen.training.shipped import find_recipe

    path = find_recipe(file)
    found = read_recipe(path, settings)
    for key, data in found.files().items():
        if not data.exists():
            raise InputError(f"{path}: {key} is {data}, which does not exist. Give yours: {key}=FILE.")
    click.echo(f"{path} is a valid recipe.")

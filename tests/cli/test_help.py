"""What ``--help`` prints of every command, at the width of a usual terminal."""

import click
import pytest

from uniscreen.cli.main import main


def commands(command, path=()):
    yield path, command
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from commands(command.commands[name], (*path, name))


COMMANDS = dict(commands(main))


def help_of(path):
    context = None
    for end in range(len(path) + 1):
        name = path[end - 1] if end else "uniscreen"
        context = click.Context(COMMANDS[path[:end]], parent=context, info_name=name, terminal_width=80)
    return COMMANDS[path].get_help(context)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "uniscreen")
def test_no_command_is_cut_short_and_no_mark_is_printed(path):
    printed = help_of(path)
    listed = printed.partition("Commands:")[2]
    assert "..." not in listed, listed
    assert "\b" not in printed
    assert r"\b" not in printed


OPTIONS = [
    pytest.param(path, option, id=" ".join((*path, option.opts[0])))
    for path, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_an_option_says_what_it_is_and_its_default(path, option):
    assert option.help
    if option.to_info_dict()["default"] and not option.is_flag:
        assert option.show_default is True


def test_every_command_that_writes_takes_its_place_as_o():
    outs = {
        path: option.opts for path, command in COMMANDS.items() for option in command.params if option.name == "out"
    }
    assert {path: opts for path, opts in outs.items() if opts != ["-o", "--out"]} == {("recipe", "new"): ["out"]}


@pytest.mark.parametrize("name", ["substitute", "prototypes"])
def test_an_example_is_one_line_that_can_be_copied(name):
    lines = [line.strip() for line in help_of(("candidates", name)).splitlines()]
    assert [line for line in lines if line.startswith(f"uniscreen candidates {name} ") and line.endswith("new.csv")]

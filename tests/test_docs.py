"""What the documents show: each command is one that there is, with its options, and each file is valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from uniscreen.benchmarking.physics import read_properties
from uniscreen.benchmarking.spec import read_spec
from uniscreen.cli.main import main
from uniscreen.training.labelling import read_label_settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
FENCED = r"```(?:sh|bash)\n(.+?)```"


def blocks(document, kind):
    return re.findall(rf"```{kind}\n(.+?)```", DOCUMENTS[document], flags=re.DOTALL)


def shown_commands():
    """Those in blocks, as words, with the document that they are in."""
    for name, text in DOCUMENTS.items():
        lines = "".join(re.findall(FENCED, text, flags=re.DOTALL)).splitlines()
        lines += re.findall(r"(?m)^    (uniscreen .+)$", text)
        for command in (part for line in lines for part in line.split("&&")):
            words = shlex.split(command, comments=True)
            if words and Path(words[0]).name == "uniscreen":
                yield pytest.param(words[1:], id=f"{name}: {' '.join(words[1:])}")


def found(words):
    """The command that words name, its context, and the words after its name."""
    command, context = main, click.Context(main, info_name="uniscreen")
    while isinstance(command, click.Group) and words:
        _, command, words = command.resolve_command(context, list(words))
        context = click.Context(command, parent=context, info_name=command.name)
    return command, context, words


@pytest.mark.parametrize("words", shown_commands())
def test_a_command_in_a_block_is_understood(words):
    command, context, rest = found(words)
    command.make_context(context.info_name, list(rest), parent=context.parent)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_in_the_text_are_those_of_the_command(name):
    text = re.sub(r"```.*?```", "", DOCUMENTS[name], flags=re.DOTALL)
    for shown in re.findall(r"`uniscreen ([^`]+)`", text):
        command, _, rest = found(shlex.split(shown))
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, shown


def test_the_files_shown_are_valid(tmp_path):
    shown = {
        "properties.toml": blocks("properties.md", "toml")[0],
        "spec.yaml": blocks("benchmarks.md", "yaml")[0],
        "settings.yaml": blocks("training-data.md", "yaml")[0],
    }
    for name, text in shown.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert {one for each in read_properties(tmp_path / "properties.toml").polymorphs for one in each.crystals}
    assert set(read_spec(tmp_path / "spec.yaml").models) == set(yaml.safe_load(shown["spec.yaml"])["models"])
    assert read_label_settings(tmp_path / "settings.yaml").calculator == "gpaw"

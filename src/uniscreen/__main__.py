"""``python -m uniscreen``."""

from uniscreen.cli.main import main

main(prog_name="uniscreen")

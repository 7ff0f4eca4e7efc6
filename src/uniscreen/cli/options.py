"""Options that several commands have, and that mean the same in all of them."""

from __future__ import annotations

import click

DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    metavar="[auto|cpu|cuda]",  # mps is taken so that it is refused with the reason
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a CUDA device where there is one.",
)
DTYPE = click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), help="Floating-point precision. [default: the model's own]"
)
FUNCTIONAL = click.option(
    "--functional",
    type=click.Choice(["PBE", "r2SCAN"]),
    help="DFT functional of the training data, for a model that does not tell. [default: as its card says]",
)
HEAD = click.option("--head", default="", help="Which output (head) to use of a model that has several.")
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
TRUST_MODEL_FILE = click.option(
    "--trust-model-file",
    is_flag=True,
    help="Run the code of an ASE calculator, or of a model file (a pickle) that no card vouches for.",
)
WORKERS = click.option(
    "--workers", type=int, metavar="N", help="Worker processes. [default: one a core on CPUs, one on a GPU]"
)

"""``wearcast demo``: all of it at once, on virtual cars."""

import sys
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="See the whole path at work: virtual cars, broker, database, rules, booking, portal, all real processes.",
    short_help="See the whole path at work on virtual cars.",
)


@app.callback()
def _group() -> None:
    """Keep `run` a command of the group."""


@app.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="End by itself, also in a terminal.")] = False,
) -> None:
    """Run the demo; the exit status is 0 only if every story ended well.

    In a terminal the portal stays up until Ctrl-C. Before every story has ended, Ctrl-C is a failure.
    """
    from wearcast.demo.run import run_demo
    from wearcast.demo.terminal import ctrl_c_for_us_alone

    with ctrl_c_for_us_alone():
        run_demo(stay=sys.stdout.isatty() and not once)

"""How the commands of this package end when something is wrong."""

import click

from onnxprune.errors import OnnxPruneError


class Command(click.Command):
    """A click command that prints our errors and leaves with their exit code, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OnnxPruneError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)

"""`agentspan completion`: what a shell needs to complete commands, options, and the ids that there are."""

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Those that are spoken."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


WHERE = {
    Shell.BASH: "agentspan completion bash > ~/.local/share/bash-completion/completions/agentspan",
    Shell.ZSH: 'agentspan completion zsh > "${fpath[1]}/_agentspan"',
    Shell.FISH: "agentspan completion fish > ~/.config/fish/completions/agentspan.fish",
}
"""How each keeps it."""


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a shell's completion; commands, options and ids complete once it has read it.

    bash: eval "$(agentspan completion bash)". zsh and fish: the same, or keep it where they look.
    """
    import sys

    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # as Typer itself does

    print(get_completion_script(prog_name="agentspan", complete_var="_AGENTSPAN_COMPLETE", shell=shell.value))
    if sys.stdout.isatty():
        print(f"to keep it: {WHERE[shell]}", file=sys.stderr)

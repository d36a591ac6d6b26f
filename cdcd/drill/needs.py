"""What a kind of drill needs beside the servers of the settings, and whether it is here."""

import os
import shutil
from pathlib import Path

from cdcd.config.settings import Settings
from cdcd.drill.kinds import Kind
from cdcd.drill.stack import LocalStack
from cdcd.model.errors import ConfigurationError


def meet(kind: Kind, file: Path, settings: Settings) -> LocalStack | None:
    """The local stack, for a kind that disturbs servers; `file` describes it. Raises
    ConfigurationError where this cannot be held here.
    """
    stack = LocalStack.read(file, settings) if kind.needs_stack else None
    missing = lacking(kind)
    if missing is not None:
        raise missing
    return stack


def lacking(kind: Kind) -> ConfigurationError | None:
    """What this machine, or this user, lacks for a kind; None where it can be held."""
    for program in kind.programs:
        if shutil.which(program) is None:
            return ConfigurationError(
                f"the drill {kind.name} uses {program}, which is not installed here",
                f"on Debian: apt-get install {program}",
            )
    if kind.needs_root and os.geteuid() != 0:
        return ConfigurationError(
            f"the drill {kind.name} mounts a small file system, which only root may",
            "start the local stack and the drill as root, in a container or a virtual machine",
        )
    return None

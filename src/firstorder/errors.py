"""The one exception that a user may meet: a message that names the cause and the mend."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can mend.

    The message is one line: the file or key at fault, its value, and what would be right.
    The command line prints it without a traceback and exits with status 1.
    """


class ConfigError(UserError):
    """A value in `config/` (or given on the command line) is not allowed."""


class DataError(UserError):
    """A data file is missing, truncated, tampered with or of the wrong format."""


class LossError(UserError, KeyError):
    """An unknown loss, or a parameter that the loss does not take."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0]) if self.args else ""


class OutOfMemoryError(UserError):
    """The memory of the device, or of the machine, does not suffice for the configuration."""


class CodeChangedError(UserError):
    """The code on disk is not the code with which the workflow was planned."""

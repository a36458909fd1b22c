"""The one exception that a user may meet: a message that names the cause and the mend."""

from __future__ import annotations

MOST = 1500
"""Characters of a message: a value that the user gave may be longer than any screen."""


def one_line(text: str) -> str:
    """A text on one line that any terminal can show: control characters and the like escaped."""
    if not text.isprintable():
        text = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
            for each in text
        )
    return text if len(text) <= MOST else f"{text[: MOST // 2]} ... {text[-MOST // 2 :]}"


class UserError(Exception):
    """Something that the user can mend.

    The message is one line: the file or key at fault, its value, and what would be right.
    The command line prints it without a traceback and exits with status 1.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(str(message)))


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

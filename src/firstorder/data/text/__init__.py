"""Text: readers, tokens, vocabulary, and the token arrays that networks train on."""

from __future__ import annotations

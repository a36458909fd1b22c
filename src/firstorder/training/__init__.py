"""Training: one loop over device-resident tensors, and what it stands on."""

from __future__ import annotations

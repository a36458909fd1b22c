"""Networks of both studies: `build` one by name, or `initialise` it again.

A model is made of plain `torch.nn` modules (one module a layer, no functional tricks, nothing
shared or in place), so that hooks see every layer's input and output gradient. It maps images
(B, C, H, W) to scores (B, num_classes); networks whose tangents are taken have one class.
"""

from __future__ import annotations

from firstorder.models import cnn, lenet, mlp, resnet
from firstorder.models.initialisers import initialise
from firstorder.models.registry import build, names, register

__all__ = ["build", "cnn", "initialise", "lenet", "mlp", "names", "register", "resnet"]

"""The tensors of a network: all that a file must hold to build it again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of `state_dict`, and the buffers that it leaves out (`persistent=False`).

    Without sparse and complex ones of the latter, which not every safetensors can hold.
    """
    left_out = {
        name: value
        for name, value in _left_out(module).items()
        if value is not None and value.layout is torch.strided and not value.is_complex()
    }
    return {**module.state_dict(), **left_out}


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give `module` the tensors of `state_of`. Raises RuntimeError for those of another network.

    A buffer that is not in `state` stays.
    """
    left_out = _left_out(module)
    module.load_state_dict({name: state[name] for name in state if name not in left_out})
    for name, own in left_out.items():
        if name in state:
            _put(module, name, own, state[name])


def _left_out(module: nn.Module) -> dict[str, Tensor | None]:
    """The buffers that `state_dict` has not, by name: not persistent, or None until a forward."""
    known = module.state_dict()
    named = (
        (f"{prefix}.{name}" if prefix else name, value)
        for prefix, owner in module.named_modules(remove_duplicate=False)
        for name, value in owner._buffers.items()
    )
    return {name: value for name, value in named if name not in known}


def _put(module: nn.Module, name: str, own: Tensor | None, value: Tensor) -> None:
    """Give a buffer its value, in place where it can be: another module may have it, too."""
    if own is not None and (own.shape, own.dtype) == (value.shape, value.dtype):
        if not torch.equal(own, value.to(own.device)):  # an expanded one cannot be written
            own.copy_(value)
        return
    owner, _, leaf = name.rpartition(".")
    device = next(module.parameters()).device if own is None else own.device
    setattr(module.get_submodule(owner), leaf, value.to(device))

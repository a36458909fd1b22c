"""Layers that torch computes in one piece, taken apart into dense layers.

Fused kernels hide the dense layers inside attention and recurrent cells from hooks, and some have
no forward mode. Here each becomes the same function in small steps, on the same parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def no_fused_attention() -> Iterator[None]:
    """Within the block, torch computes attention by products and softmax, layer by layer."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def take_apart(module: nn.Module) -> None:
    """Turn the attention and recurrent cells of `module` into steps, in place."""
    for layer in list(module.modules()):
        if type(layer) is nn.MultiheadAttention and layer.in_proj_weight is not None:
            layer.in_proj = _dense(layer, "in_proj_weight", "in_proj_bias")
            layer.__class__ = Attention
        elif type(layer) in CELLS:
            assert isinstance(layer, nn.RNNCellBase)
            layer.ih = _dense(layer, "weight_ih", "bias_ih")
            layer.hh = _dense(layer, "weight_hh", "bias_hh")
            layer.__class__ = CELLS[type(layer)]


class Attention(nn.MultiheadAttention):
    """Attention whose projections are layers: `in_proj`, on the parameters that it has."""

    in_proj: nn.Linear

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As in torch, for batches. The three projections are parts of one matrix."""
        if query.dim() != 3 or self.bias_k is not None or self.add_zero_attn:
            return super().forward(
                query,
                key,
                value,
                key_padding_mask,
                need_weights,
                attn_mask,
                average_attn_weights,
                is_causal,
            )
        same = query is key and key is value
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        count, width = len(query), self.embed_dim
        if same:
            q, k, v = self.in_proj(query).chunk(3, -1)
        else:  # all rows of the matrix on all inputs: the part that is not needed has no gradient
            lengths = [query.shape[1], key.shape[1], value.shape[1]]
            parts = self.in_proj(torch.cat([query, key, value], 1)).split(lengths, 1)
            q, k, v = (x[..., i * width : (i + 1) * width] for i, x in enumerate(parts))
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        scores = q @ k.mT / self.head_dim**0.5
        for mask in self._masks(scores, key_padding_mask, attn_mask):
            scores = scores + mask
        weights = scores.softmax(-1)
        out = self.out_proj((weights @ v).transpose(1, 2).reshape(count, -1, width))
        out = out if self.batch_first else out.transpose(0, 1)
        if not need_weights:
            return out, None
        return out, weights.mean(1) if average_attn_weights else weights

    def _masks(
        self, scores: Tensor, key_padding_mask: Tensor | None, attn_mask: Tensor | None
    ) -> Iterator[Tensor]:
        """What is added to the scores (N, heads, T, S); -infinity where a mask is true."""
        for mask, padding in ((key_padding_mask, True), (attn_mask, False)):
            if mask is None:
                continue
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, -torch.inf)
            if padding:
                mask = mask[:, None, None]
            elif mask.dim() == 3:
                mask = mask.unflatten(0, (-1, self.num_heads))
            yield mask


class RNNCell(nn.RNNCell):
    """h' = phi(W_ih x + b_ih + W_hh h + b_hh), in steps."""

    ih: nn.Linear
    hh: nn.Linear

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        h = input.new_zeros(len(input), self.hidden_size) if hx is None else hx
        z = self.ih(input) + self.hh(h)
        return z.tanh() if self.nonlinearity == "tanh" else z.relu()


class GRUCell(nn.GRUCell):
    """torch's gated recurrent unit, in steps."""

    ih: nn.Linear
    hh: nn.Linear

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        h = input.new_zeros(len(input), self.hidden_size) if hx is None else hx
        (r, z, n), (hr, hz, hn) = self.ih(input).chunk(3, -1), self.hh(h).chunk(3, -1)
        update = torch.sigmoid(z + hz)
        return (1 - update) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + update * h


class LSTMCell(nn.LSTMCell):
    """torch's long short-term memory, in steps."""

    ih: nn.Linear
    hh: nn.Linear

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        zero = input.new_zeros(len(input), self.hidden_size)
        h, c = (zero, zero) if hx is None else hx
        i, f, g, o = (self.ih(input) + self.hh(h)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


CELLS: dict[type[nn.Module], type[nn.RNNCellBase]] = {
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
}


def _dense(owner: nn.Module, weight: str, bias: str) -> nn.Linear:
    """A dense layer that shares parameters of `owner`."""
    layer = nn.Linear(1, 1, bias=False, device="meta")
    layer.out_features, layer.in_features = getattr(owner, weight).shape
    layer.weight, layer.bias = getattr(owner, weight), getattr(owner, bias)
    return layer

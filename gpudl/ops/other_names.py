"""Keras's other names for some ops."""

from __future__ import annotations

from gpudl.ops.activations import silu
from gpudl.ops.arithmetic import max, min
from gpudl.ops.creation import convert_to_tensor, eye

amax = max
amin = min
array = convert_to_tensor
identity = eye
swish = silu

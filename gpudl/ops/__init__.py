"""Operations on plain arrays and on Tensors: `gpudl.ops.conv2d(x, kernel)` needs no model around it."""

from gpudl.ops.activations import log_softmax as log_softmax
from gpudl.ops.activations import relu as relu
from gpudl.ops.activations import sigmoid as sigmoid
from gpudl.ops.activations import softmax as softmax
from gpudl.ops.activations import tanh as tanh
from gpudl.ops.arithmetic import *  # noqa: F403
from gpudl.ops.batch_norm import batch_norm as batch_norm
from gpudl.ops.conv2d import conv2d as conv2d
from gpudl.ops.conv2d import conv2d_input_gradient as conv2d_input_gradient
from gpudl.ops.conv2d import conv2d_kernel_gradient as conv2d_kernel_gradient
from gpudl.ops.cross_entropy import binary_cross_entropy as binary_cross_entropy
from gpudl.ops.cross_entropy import cross_entropy as cross_entropy
from gpudl.ops.cross_entropy import sigmoid_cross_entropy as sigmoid_cross_entropy
from gpudl.ops.cross_entropy import softmax_cross_entropy as softmax_cross_entropy
from gpudl.ops.cross_entropy import sparse_cross_entropy as sparse_cross_entropy
from gpudl.ops.cross_entropy import sparse_softmax_cross_entropy as sparse_softmax_cross_entropy
from gpudl.ops.dense import dense as dense
from gpudl.ops.dropout import dropout as dropout
from gpudl.ops.pool2d import average_pool2d as average_pool2d
from gpudl.ops.pool2d import global_average_pool2d as global_average_pool2d
from gpudl.ops.pool2d import global_max_pool2d as global_max_pool2d
from gpudl.ops.pool2d import max_pool2d as max_pool2d

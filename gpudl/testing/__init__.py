"""The conformance kit: what an op or a layer must keep to, checked in one call, for plugin authors as for gpudl."""

from gpudl.testing.layers import check_layer as check_layer
from gpudl.testing.ops import check_close as check_close
from gpudl.testing.ops import check_op as check_op

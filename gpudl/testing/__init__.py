"""The conformance kit: what an op must keep to, checked in one call, for plugin authors as for gpudl itself."""

from gpudl.testing.ops import check_close as check_close
from gpudl.testing.ops import check_op as check_op

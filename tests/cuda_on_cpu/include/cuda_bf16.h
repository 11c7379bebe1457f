// Host twin of CUDA's header.
#pragma once

#include "cuda_fp16.h"

using __nv_bfloat16 = SixteenBits<8, 7>;

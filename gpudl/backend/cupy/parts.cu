// Sums of parts that blocks of their own have added up, as split products leave them.
//
// There may be few numbers and hundreds of parts, or the other way round. A warp has 32 neighbouring numbers; SHARE of the
// 8 warps of a block share the parts of the same ones, and meet in shared memory. The order is always the same.

constexpr int WARPS_OF_BLOCK = 8;

// sum (size,) = parts (count, size) added up along the first axis; then + bias, a number for each column, or none; with
// `relu` what is below 0 becomes 0.
extern "C" __global__ void __launch_bounds__(256)
    add_parts(const Sum* __restrict__ parts, T* __restrict__ sum, const int count, const T* __restrict__ bias,
              const int relu, const int columns, const INDEX size) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, mine = warp % SHARE;
    const INDEX i = (INDEX(blockIdx.x) * (WARPS_OF_BLOCK / SHARE) + warp / SHARE) * WARP + lane;
    Sum total = 0;
    if (i < size) {
#pragma unroll 4
        for (int part = mine; part < count; part += SHARE) total += parts[part * size + i];
    }
    if constexpr (SHARE > 1) {
        Sum(&of_warps)[WARPS_OF_BLOCK][WARP] = shared<Sum[WARPS_OF_BLOCK][WARP]>();
        of_warps[warp][lane] = total;
        __syncthreads();
        if (mine > 0) return;
#pragma unroll
        for (int other = 1; other < SHARE; ++other) total += of_warps[warp + other][lane];
    }
    if (i >= size) return;
    if (bias) total += Sum(bias[i % columns]);
    sum[i] = T(relu && total < 0 ? Sum(0) : total);
}

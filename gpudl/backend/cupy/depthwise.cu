// Depthwise convolution of any shape: every channel has kernels of its own, so there is no product of matrices to be had,
// and the work is bandwidth alone. One thread for each number that is made, neighbouring threads on neighbouring
// channels; what neighbouring windows share comes from the cache. The usual shapes go to depthwise_tiles.cu.
//
// The kernel's gradient is a sum over all positions for each tap and channel: 32 lanes take 32 channels, the 8 warps of
// a block every eighth position of its share, and the shares are added up in a fixed order by parts.cu.
#include "windows.cuh"

extern "C" __global__ void forward(const T* __restrict__ x, const T* __restrict__ kernel, const T* __restrict__ bias,
                                   T* __restrict__ y, const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    const int top = at.h * g.rows.stride - g.rows.before, left = at.w * g.columns.stride - g.columns.before;
    const int channel = at.c / g.multiplier, filters = g.channels * g.multiplier;
    Sum sum = 0;
    for (int r = 0; r < g.rows.taps; ++r) {
        const int h = top + r * g.rows.dilation;
        if (unsigned(h) >= unsigned(g.rows.size)) continue;
        for (int s = 0; s < g.columns.taps; ++s) {
            const int w = left + s * g.columns.dilation;
            if (unsigned(w) >= unsigned(g.columns.size)) continue;
            sum += x[((INDEX(at.n) * g.rows.size + h) * g.columns.size + w) * g.channels + channel] *
                   kernel[(r * g.columns.taps + s) * filters + at.c];
        }
    }
    y[i] = sum + (bias ? bias[at.c] : T(0));
}

// The window whose tap number `tap` covers a position, or -1.
__device__ __forceinline__ int window_of(int position, int tap, const Window& axis) {
    const int from = position + axis.before - tap * axis.dilation;
    return from >= 0 && from % axis.stride == 0 && from / axis.stride < axis.out ? from / axis.stride : -1;
}

// With one kernel for each channel a thread makes PACK neighbouring channels, which it reads and writes at once; `channels`
// counts packs.
extern "C" __global__ void input_gradient(const T* __restrict__ dy, const T* __restrict__ kernel, T* __restrict__ dx,
                                          const Windows g, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Place at = place_of(i, g);
    const int filters = g.channels * g.multiplier, filter = at.c * g.multiplier;
    Pack<Sum, PACK> sum = {};
    for (int r = 0; r < g.rows.taps; ++r) {
        const int p = window_of(at.h, r, g.rows);
        if (p < 0) continue;
        for (int s = 0; s < g.columns.taps; ++s) {
            const int q = window_of(at.w, s, g.columns);
            if (q < 0) continue;
            const INDEX window = ((INDEX(at.n) * g.rows.out + p) * g.columns.out + q) * filters + filter;
            for (int m = 0; m < g.multiplier; ++m) {
                const Pack<T, PACK> slopes = packs(dy)[window + m];
                const Pack<T, PACK> taps = packs(kernel)[(r * g.columns.taps + s) * filters + filter + m];
#pragma unroll
                for (int j = 0; j < PACK; ++j) sum.at[j] += slopes.at[j] * taps.at[j];
            }
        }
    }
    packs(dx)[i] = sum;
}

// parts (shares, R, S, C * multiplier).
extern "C" __global__ void kernel_gradient(const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ parts,
                                           const Windows g, const int share) {
    constexpr int WARPS_OF_BLOCK = 8;
    Sum(&of_warps)[WARPS_OF_BLOCK][WARP] = shared<Sum[WARPS_OF_BLOCK][WARP]>();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, filters = g.channels * g.multiplier;
    const int filter = blockIdx.x * WARP + lane, channel = filter / g.multiplier, tap = blockIdx.y;
    const int r = tap / g.columns.taps, s = tap % g.columns.taps;
    const int begin = blockIdx.z * share, end = min(begin + share, g.batch * g.rows.out * g.columns.out);
    Sum sum = 0;
    if (filter < filters)
        for (int position = begin + warp; position < end; position += WARPS_OF_BLOCK) {
            const Quotient line = divide(position, g.by_columns), row = divide(line.quotient, g.by_rows);
            const int h = row.remainder * g.rows.stride - g.rows.before + r * g.rows.dilation;
            const int w = line.remainder * g.columns.stride - g.columns.before + s * g.columns.dilation;
            if (unsigned(h) < unsigned(g.rows.size) && unsigned(w) < unsigned(g.columns.size))
                sum += x[((INDEX(row.quotient) * g.rows.size + h) * g.columns.size + w) * g.channels + channel] *
                       dy[INDEX(position) * filters + filter];
        }
    of_warps[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || filter >= filters) return;
    for (int other = 1; other < WARPS_OF_BLOCK; ++other) sum += of_warps[other][lane];
    parts[(INDEX(blockIdx.z) * gridDim.y + tap) * filters + filter] = sum;
}

// Depthwise convolution with one kernel for each channel, as networks have it: bandwidth, and little else.
//
// Memory plan. A block makes 8 x TILE_COLUMNS positions of 32 channels. The patch under all their windows is copied to
// shared memory once, so that no number of the image is asked for more often than tiles overlap. A lane has a channel,
// a warp a row of the tile; the loops over its positions and taps are unrolled, and what neighbouring windows share is
// read once. With FLIPPED taps and windows counted from the other side, stride 1, it is the gradient of the input.
//
// The gradient of the kernel keeps a sum for each tap in registers, over all tiles of the block's share; the warps' sums
// meet in shared memory, those of different blocks in `parts`, which parts.cu adds up in a fixed order.
#include "mma.cuh"
#include "windows.cuh"

constexpr int TILE_ROWS = 8, THREADS = TILE_ROWS * WARP, TAPS = DOWN * ACROSS;
constexpr int PATCH_ROWS = (TILE_ROWS - 1) * STRIDE_DOWN + (DOWN - 1) * DILATION_DOWN + 1;
constexpr int PATCH_COLUMNS = (TILE_COLUMNS - 1) * STRIDE_ACROSS + (ACROSS - 1) * DILATION_ACROSS + 1;

using Patch = T[PATCH_ROWS][PATCH_COLUMNS][WARP];

// A tile's image, its first row and column.
struct Corner {
    int n, p, q;
};

__device__ __forceinline__ Corner corner_of(int tile, const Windows& g) {
    const Quotient line = divide(tile, g.by_columns), row = divide(line.quotient, g.by_rows);
    return {row.quotient, row.remainder * TILE_ROWS, line.remainder * TILE_COLUMNS};
}

// Begin to copy the patch under a tile's windows, of 32 channels; what lies outside the image is 0.
__device__ __forceinline__ void copy_patch(const T* x, const Windows& g, const Corner& at, int first_channel) {
    constexpr int CHUNKS = WARP / WIDTH;
    const int top = at.p * STRIDE_DOWN - g.rows.before, left = at.q * STRIDE_ACROSS - g.columns.before;
    const int c = threadIdx.x % CHUNKS * WIDTH;
    const bool real = first_channel + c < g.channels;
    for (int i = threadIdx.x / CHUNKS; i < PATCH_ROWS * PATCH_COLUMNS; i += THREADS / CHUNKS) {
        const int h = top + i / PATCH_COLUMNS, w = left + i % PATCH_COLUMNS;
        const bool inside = real && unsigned(h) < unsigned(g.rows.size) && unsigned(w) < unsigned(g.columns.size);
        const INDEX pixel = (INDEX(at.n) * g.rows.size + h) * g.columns.size + w;
        copy_async<WIDTH * int(sizeof(T))>(&shared<Patch>()[i / PATCH_COLUMNS][i % PATCH_COLUMNS][c],
                                           x + (inside ? pixel * g.channels + first_channel + c : 0), inside);
    }
    commit_copies();
}

__device__ __forceinline__ void wait_for_patch() {
    wait_for_copies<0>();
    __syncthreads();
}

__device__ __forceinline__ T under(int row, int q, int r, int s) {
    return shared<Patch>()[row * STRIDE_DOWN + r * DILATION_DOWN][q * STRIDE_ACROSS + s * DILATION_ACROSS][threadIdx.x % WARP];
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    slide_tile(const T* __restrict__ x, const T* __restrict__ kernel, const T* __restrict__ bias, T* __restrict__ y,
               const Windows g) {
    const int first_channel = blockIdx.y * WARP, channel = first_channel + threadIdx.x % WARP, row = threadIdx.x / WARP;
    const Corner at = corner_of(blockIdx.x, g);
    copy_patch(x, g, at, first_channel);
    wait_for_patch();
    if (channel >= g.channels || at.p + row >= g.rows.out) return;
    Sum sums[TILE_COLUMNS] = {};
#pragma unroll
    for (int r = 0; r < DOWN; ++r)
#pragma unroll
        for (int s = 0; s < ACROSS; ++s) {
            const Sum tap = kernel[(FLIPPED ? TAPS - 1 - (r * ACROSS + s) : r * ACROSS + s) * g.channels + channel];
#pragma unroll
            for (int q = 0; q < TILE_COLUMNS; ++q) sums[q] += under(row, q, r, s) * tap;
        }
    T* to = y + ((INDEX(at.n) * g.rows.out + at.p + row) * g.columns.out + at.q) * g.channels + channel;
#pragma unroll
    for (int q = 0; q < TILE_COLUMNS; ++q)
        if (at.q + q < g.columns.out) to[q * g.channels] = sums[q] + (bias ? bias[channel] : T(0));
}

// parts (shares, R, S, C): the sums over `share` tiles each, of `tiles`.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    sum_tiles(const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ parts, const Windows g, const int share,
              const int tiles) {
    const int first_channel = blockIdx.y * WARP, lane = threadIdx.x % WARP, row = threadIdx.x / WARP;
    const int channel = first_channel + lane, end = min(int(blockIdx.x + 1) * share, tiles);
    Sum sums[TAPS] = {};
    for (int tile = blockIdx.x * share; tile < end; ++tile) {
        const Corner at = corner_of(tile, g);
        __syncthreads();  // the patch of the tile before has been read
        copy_patch(x, g, at, first_channel);
        const bool real = channel < g.channels && at.p + row < g.rows.out;
        const T* from = dy + ((INDEX(at.n) * g.rows.out + at.p + row) * g.columns.out + at.q) * g.channels + channel;
        Sum slopes[TILE_COLUMNS];  // all are asked for before the first is needed, while the patch is on its way
#pragma unroll
        for (int q = 0; q < TILE_COLUMNS; ++q)
            slopes[q] = real && at.q + q < g.columns.out ? Sum(from[q * g.channels]) : Sum(0);
        wait_for_patch();
        if (!real) continue;
#pragma unroll
        for (int r = 0; r < DOWN; ++r)
#pragma unroll
            for (int s = 0; s < ACROSS; ++s)
#pragma unroll
                for (int q = 0; q < TILE_COLUMNS; ++q)
                    if (at.q + q < g.columns.out) sums[r * ACROSS + s] += under(row, q, r, s) * slopes[q];
    }
    Sum(&of_warps)[TILE_ROWS][WARP] = shared<Sum[TILE_ROWS][WARP]>();
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) {
        __syncthreads();  // what was there before has been read
        of_warps[row][lane] = sums[tap];
        __syncthreads();
        if (row > 0 || channel >= g.channels) continue;
        Sum total = sums[tap];
        for (int other = 1; other < TILE_ROWS; ++other) total += of_warps[other][lane];
        parts[(INDEX(blockIdx.x) * TAPS + tap) * g.channels + channel] = total;
    }
}

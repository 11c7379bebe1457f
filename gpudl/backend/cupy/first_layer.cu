// Convolution of images with few channels, as a network's first layer has them: 1, 2, 3 or 4.
//
// It is the product of conv2d.cu. There each number of an image is copied once for every window that covers it, which
// for lack of channels is number by number: 49 copies of 4 bytes for a 7 x 7 kernel of one channel. Here a block makes a
// tile of TILE_ROWS x TILE_COLUMNS positions of one image. The patch under all their windows is copied once, and rows of
// the matrix are picked from it; everything that an index is made of is known to the compiler.
#include "gather.cuh"

constexpr int PATCH_ROWS = (TILE_ROWS - 1) * STRIDE_DOWN + (DOWN - 1) * DILATION_DOWN + 1;
constexpr int PATCH_ROW = ((TILE_COLUMNS - 1) * STRIDE_ACROSS + (ACROSS - 1) * DILATION_ACROSS + 1) * CHANNELS;
constexpr int DEPTH = DOWN * ACROSS * CHANNELS;
static_assert(TILE_ROWS * TILE_COLUMNS == BM);

struct Room {
    Tiles tiles;
    __align__(16) T patch[PATCH_ROWS][PATCH_ROW];
};

// Begin to copy the patch whose upper left pixel is (top, left); what lies outside the image is 0.
__device__ __forceinline__ void copy_patch(const T* image, const Gather& g, int top, int left) {
    for (int i = threadIdx.x * WIDTH; i < PATCH_ROWS * PATCH_ROW; i += THREADS * WIDTH) {
        const int h = top + i / PATCH_ROW, w = left * CHANNELS + i % PATCH_ROW, row = g.columns.size * CHANNELS;
        const bool inside = unsigned(h) < unsigned(g.rows.size) && unsigned(w) < unsigned(row);
        copy_async<WIDTH * int(sizeof(T))>(&shared<Room>().patch[i / PATCH_ROW][i % PATCH_ROW],
                                           image + (inside ? INDEX(h) * row + w : 0), inside);
    }
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
}

// Rows are the tile's positions, the depth is (r, s, c).
struct Windows {
    static constexpr int TOGETHER = THREADS / BK;
    static_assert(BM % TOGETHER == 0);

    __device__ __forceinline__ void load(T* tile, int step) const {
        const T* patch = &shared<Room>().patch[0][0];
        const int k = threadIdx.x % BK, at = step * BK + k, channel = at % CHANNELS, tap = at / CHANNELS;
        const int place = tap / ACROSS * DILATION_DOWN * PATCH_ROW + tap % ACROSS * DILATION_ACROSS * CHANNELS + channel;
#pragma unroll
        for (int i = 0; i < BM; i += TOGETHER) {
            const int m = i + threadIdx.x / BK;
            const int first = m / TILE_COLUMNS * STRIDE_DOWN * PATCH_ROW + m % TILE_COLUMNS * STRIDE_ACROSS * CHANNELS;
            tile[a_place(m, k)] = at < DEPTH ? patch[first + place] : T(0.0f);
        }
    }
};

// x (N, H, W, CHANNELS) -> y (N, P, Q, K). Tiles take the place of positions in `by_columns` and `by_rows`.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    first_layer(const T* __restrict__ x, const T* __restrict__ kernel, const T* __restrict__ bias, T* __restrict__ y,
                const Gather g) {
    const Quotient line = divide(blockIdx.x, g.by_columns), row = divide(line.quotient, g.by_rows);
    const int image = row.quotient, p = row.remainder * TILE_ROWS, q = line.remainder * TILE_COLUMNS;
    const int first_filter = blockIdx.y * BN;
    copy_patch(x + INDEX(image) * g.rows.size * g.columns.size * CHANNELS, g, p * STRIDE_DOWN + g.rows.base,
               q * STRIDE_ACROSS + g.columns.base);
    Windows windows;
    Taps taps(kernel, g, 0, first_filter, DEPTH);
    Sums sums;
    add_up(windows, taps, 0, (DEPTH + BK - 1) / BK, sums);
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const int m = row_in_tile(i), h = p + m / TILE_COLUMNS, w = q + m % TILE_COLUMNS;
        if (h >= g.rows.out || w >= g.columns.out) continue;
        T* to = y + ((INDEX(image) * g.rows.out + h) * g.columns.out + w) * g.filters;
        write_row(to, sums[i], bias, first_filter, g.filters);
    }
}

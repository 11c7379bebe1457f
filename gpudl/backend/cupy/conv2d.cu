// 2-D convolution and its two adjoints as products of matrices that are never written down (implicit GEMM).
//
// `gather` makes every output from the inputs that it covers. It is the forward convolution,
//     y[n, p, q, k] = bias[k] + sum over r, s, c of x[n, p stride + r, q stride + s, c] kernel[r, s, c, k],
// a product of M = N P Q rows and K columns over a depth of R S C; and, with other numbers in `Gather`, the gradient of
// its input, which reads dy. With strides larger than 1 that is one call for each of the stride^2 phases of the input's
// positions: a phase is reached by some of the taps only, and those reach all of it, so no zero is ever multiplied.
//
// `kernel_gradient` makes dkernel[r, s, c, k], a product of R S C rows and K columns over a depth of N P Q. The depth is
// long and the product small, so it is cut into `splits` parts that blocks of their own add up; `add_parts` adds those
// in a fixed order. No atomics: equal inputs give equal bits.
//
// Where `gather` has few tiles and a long depth, SPLIT cuts that into shares of so many steps, too. `y` then has a part
// for each, without bias and ReLU, which `add_parts` adds.
//
// POINTWISE is a kernel of one tap that reads every position, 1 x 1 with stride 1. Its matrices do lie in memory, and no
// position has to be divided into row and column.
//
// Bytes and operations of the forward convolution: 2 N P Q K R S C / groups operations on N H W C + R S C K / groups +
// N P Q K numbers. How the tiles lie in shared memory, tiles.cuh says.
#include "gather.cuh"

#ifdef GATHER

// Rows are positions (n, p, q), the depth is (r, s, c).
struct Positions {
    static constexpr int CHUNKS = BK / WIDTH, EACH = BM * CHUNKS / THREADS;
    static_assert(EACH * THREADS == BM * CHUNKS && THREADS % CHUNKS == 0);
    const T* x;
    const Gather& g;
    int depth, k;
    INDEX place[EACH];  // of the first tap's number, which may lie outside
    int row[EACH], column[EACH];

    __device__ __forceinline__ Positions(const T* x, const Gather& g, int group, int first, int depth)
        : x(x), g(g), depth(depth), k(threadIdx.x % CHUNKS * WIDTH) {
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int m = first + (threadIdx.x + i * THREADS) / CHUNKS;
            const Quotient line = divide(m, g.by_columns), image = divide(line.quotient, g.by_rows);
            const bool real = image.quotient < g.batch;
            const int h = image.remainder * g.rows.stride + g.rows.base;
            column[i] = line.remainder * g.columns.stride + g.columns.base;
            place[i] = ((INDEX(real ? image.quotient : 0) * g.rows.size + h) * g.columns.size + column[i]) * g.channels +
                       group * int(g.by_depth.number);
            row[i] = real ? h : -(1 << 30);
        }
    }

    __device__ __forceinline__ void load(T* tile, int step) const {
        const int at = step * BK + k;
        const Quotient tap = divide(WHOLE ? step * BK : at, g.by_depth), window = divide(tap.quotient, g.by_taps);
        const int down = window.quotient * g.rows.step, right = window.remainder * g.columns.step;
        const INDEX apart = INDEX(down * g.columns.size + right) * g.channels + tap.remainder + (WHOLE ? k : 0);
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const bool inside = (WHOLE || at < depth) && unsigned(row[i] + down) < unsigned(g.rows.size) &&
                                unsigned(column[i] + right) < unsigned(g.columns.size);
            copy_async<WIDTH * int(sizeof(T))>(tile + a_place((threadIdx.x + i * THREADS) / CHUNKS, k),
                                               x + (inside ? place[i] + apart : 0), inside);
        }
    }
};

// Rows are pixels, which lie in memory one after the other, the depth is their channels.
struct Pixels {
    static constexpr int CHUNKS = BK / WIDTH, EACH = BM * CHUNKS / THREADS;
    const T* x;
    int depth, k, stride, first, pixels;

    __device__ __forceinline__ Pixels(const T* x, const Gather& g, int group, int first, int depth)
        : x(x + group * depth), depth(depth), k(threadIdx.x % CHUNKS * WIDTH), stride(g.channels), first(first),
          pixels(g.batch * g.rows.size * g.columns.size) {}

    __device__ __forceinline__ void load(T* tile, int step) const {
        const int at = step * BK + k;
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int m = (threadIdx.x + i * THREADS) / CHUNKS;
            const bool inside = at < depth && first + m < pixels;
            copy_async<WIDTH * int(sizeof(T))>(tile + a_place(m, k), x + (inside ? INDEX(first + m) * stride + at : 0), inside);
        }
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    gather(const T* __restrict__ x, const T* __restrict__ kernel, const T* __restrict__ bias, T* __restrict__ y,
           const int share, const Gather g) {
    const int each = g.filters / g.groups, tiles = (each + BN - 1) / BN;
    const int group = blockIdx.y / tiles, first_filter = blockIdx.y % tiles * BN;
    const int depth = g.rows.taps * g.columns.taps * g.by_depth.number;
    const int first = blockIdx.x * BM;
    Either<Pixels, Positions, POINTWISE>::type positions(x, g, group, first, depth);
    Taps taps(kernel, g, group, first_filter, depth);
    Sums sums;
    const int steps = (depth + BK - 1) / BK, begin = SPLIT ? blockIdx.z * share : 0;
    add_up(positions, taps, begin, SPLIT ? min(share, steps - begin) : steps, sums);
    if (SPLIT) y += blockIdx.z * INDEX(g.batch) * g.rows.to_size * g.columns.to_size * g.filters;
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const Quotient line = divide(first + row_in_tile(i), g.by_columns), place = divide(line.quotient, g.by_rows);
        if (place.quotient >= g.batch) continue;
        const int h = place.remainder * g.rows.to_stride + g.rows.to_base;
        const int w = line.remainder * g.columns.to_stride + g.columns.to_base;
        T* to = y + ((INDEX(place.quotient) * g.rows.to_size + h) * g.columns.to_size + w) * g.filters + group * each;
        write_row(to, sums[i], bias ? bias + group * each : nullptr, first_filter, each);
    }
}

#endif

#ifdef KERNEL_GRADIENT

// Rows are (r, s, c), the depth is positions (n, p, q).
struct TapsOfImages {
    static constexpr int CHUNKS = BM / WIDTH, EACH = BK * CHUNKS / THREADS;
    static_assert(EACH * THREADS == BK * CHUNKS && THREADS % CHUNKS == 0);
    const T* x;
    const Gather& g;
    int begin, end, m, down, right, channel;
    bool real;

    __device__ __forceinline__ TapsOfImages(const T* x, const Gather& g, int group, int first, int begin, int end)
        : x(x), g(g), begin(begin), end(end), m(threadIdx.x % CHUNKS * WIDTH) {
        const Quotient tap = divide(first + m, g.by_depth), place = divide(tap.quotient, g.by_taps);
        down = place.quotient * g.rows.step + g.rows.base;
        right = place.remainder * g.columns.step + g.columns.base;
        channel = group * g.by_depth.number + tap.remainder;
        real = place.quotient < g.rows.taps;
    }

    __device__ __forceinline__ void load(T* tile, int step) const {
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int k = (threadIdx.x + i * THREADS) / CHUNKS, at = begin + step * BK + k;
            INDEX pixel = at;
            bool inside = real && at < end;
            if constexpr (!POINTWISE) {
                const Quotient line = divide(at, g.by_columns), place = divide(line.quotient, g.by_rows);
                const int h = place.remainder * g.rows.stride + down, w = line.remainder * g.columns.stride + right;
                inside = inside && unsigned(h) < unsigned(g.rows.size) && unsigned(w) < unsigned(g.columns.size);
                pixel = (INDEX(place.quotient) * g.rows.size + h) * g.columns.size + w;
            }
            copy_async<WIDTH * int(sizeof(T))>(tile + a_place(m, k), x + (inside ? pixel * g.channels + channel : 0), inside);
        }
    }
};

// The gradient of the output: rows of the matrix are positions, columns the filters of a group.
struct Gradients : Filters {
    const T* dy;
    const Gather& g;
    int begin, end;

    __device__ __forceinline__ Gradients(const T* dy, const Gather& g, int group, int first, int begin, int end)
        : Filters(g, group, first), dy(dy), g(g), begin(begin), end(end) {}

    __device__ __forceinline__ void load(T* tile, int step) const {
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int k = row(i), at = begin + step * BK + k;
            const bool inside = real && at < end;
            copy_async<KERNEL_WIDTH * int(sizeof(T))>(tile + b_place(k, n), dy + (inside ? INDEX(at) * g.filters + filter : 0),
                                                      inside);
        }
    }
};

// parts (splits, R S C / groups, K), each the sum over `share` positions.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    kernel_gradient(const T* __restrict__ x, const T* __restrict__ dy, Sum* __restrict__ parts, const int share,
                    const Gather g) {
    const int each = g.filters / g.groups, tiles = (each + BN - 1) / BN;
    const int group = blockIdx.y / tiles, first_filter = blockIdx.y % tiles * BN;
    const int rows = g.rows.taps * g.columns.taps * g.by_depth.number, first = blockIdx.x * BM;
    const int begin = blockIdx.z * share, end = min(begin + share, g.batch * g.rows.out * g.columns.out);
    TapsOfImages images(x, g, group, first, begin, end);
    Gradients gradients(dy, g, group, first_filter, begin, end);
    Sums sums;
    add_up(images, gradients, 0, (end - begin + BK - 1) / BK, sums);
    Sum* part = parts + INDEX(blockIdx.z) * rows * g.filters;
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const int row = first + row_in_tile(i);
        if (row >= rows) continue;
#pragma unroll
        for (int j = 0; j < COLUMNS; j += STORE) {
            const int filter = first_filter + column_in_tile(j);
            if (filter >= each) continue;
            Sum values[STORE];
#pragma unroll
            for (int k = 0; k < STORE; ++k) values[k] = sums[i][j + k];
            store(part + INDEX(row) * g.filters + group * each + filter, values);
        }
    }
}

#endif

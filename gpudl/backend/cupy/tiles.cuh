// The main loop of all convolutions: a block's tile of C = A B, with A (M, depth) and B (depth, columns).
//
// A and B are nowhere stored as matrices. A loader says where the numbers of a tile lie in global memory and begins to
// copy them; that is all in which forward convolution, the gradient of the input and that of the kernel differ.
//
// Memory plan. A block of WARPS warps makes a tile of BM x BN. Along the depth it goes in steps of BK; STAGES tiles of A
// and B lie in shared memory, so that STAGES - 1 steps are on their way while one is multiplied. Each warp makes WM x WN
// of the tile, which stays in registers from the first step to the last: every number in shared memory is then read
// only BN / WN (BM / WM) times. A row of a tile is 4 or 8 numbers longer than needed, so that the 32 lanes of a warp
// read from 32 different banks.
//
// MATH says how the products are made: 0 by multiply-adds, 1 on tensor cores in TF32, 3 on tensor cores by three TF32
// products, of the rounded numbers and of what rounding left over, which gives float32's accuracy; 16 on tensor cores
// of 16-bit numbers, T being float16 or bfloat16. All sums are float32, or float64 of float64 numbers.
#pragma once
#include "mma.cuh"

constexpr int WARPS = (BM / WM) * (BN / WN), THREADS = WARPS * WARP;

// A tile whose rows lie along M, A[m][k], where neighbours in memory are neighbours along the depth; or along the depth,
// A[k][m], where neighbours in memory are neighbours along M.
constexpr int DEPTH_ROW = BK + (sizeof(T) == 2 ? 8 : 4), A_ROW = BM + 8, B_ROW = BN + 8;
constexpr int A_SIZE = A_IS_DEEP ? BM * DEPTH_ROW : BK * A_ROW, B_SIZE = BK * B_ROW;

struct Tiles {
    T a[STAGES][A_SIZE];
    T b[STAGES][B_SIZE];
};

__device__ __forceinline__ constexpr int a_place(int m, int k) { return A_IS_DEEP ? m * DEPTH_ROW + k : k * A_ROW + m; }
__device__ __forceinline__ constexpr int b_place(int k, int n) { return k * B_ROW + n; }

// What a lane holds of its warp's tile: numbers in ROWS rows and COLUMNS columns. Shared memory is read by packs of four
// neighbours, which are four rows or columns of the same lane. The tensor cores say only which rows and columns of *their*
// products a lane has; which rows and columns of the tile those are is free, as long as A, B and the sums agree.
constexpr int ROWS = WM / 8, COLUMNS = WN / 4;
constexpr int ROW_PACK = MATH == 16 || A_IS_DEEP ? 1 : 4, COLUMN_PACK = MATH == 16 ? 2 : MATH ? 8 : 4;
using Sums = Sum[ROWS][COLUMNS];

__device__ __forceinline__ int row_in_tile(int i) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    return warp / (BN / WN) * WM + i / ROW_PACK * 8 * ROW_PACK + lane / 4 * ROW_PACK + i % ROW_PACK;
}

__device__ __forceinline__ int column_in_tile(int j) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    return warp % (BN / WN) * WN + j / COLUMN_PACK * 4 * COLUMN_PACK + lane % 4 * COLUMN_PACK + j % COLUMN_PACK;
}

#if MATH != 16

constexpr int WIDE = 16 / sizeof(T);  // numbers in the widest access there is

template <int N>
__device__ __forceinline__ void read(T (&to)[N], const T* from) {
    constexpr int AT_ONCE = N < WIDE ? N : WIDE;
#pragma unroll
    for (int i = 0; i < N; i += AT_ONCE) {
        const Pack<T, AT_ONCE> pack = *reinterpret_cast<const Pack<T, AT_ONCE>*>(from + i);
#pragma unroll
        for (int j = 0; j < AT_ONCE; ++j) to[i + j] = pack.at[j];
    }
}

#endif

#if MATH == 0

__device__ __forceinline__ void multiply(const T* a, const T* b, Sums& sums) {
    constexpr int DEEP = A_IS_DEEP ? WIDE : 1;
#pragma unroll
    for (int k = 0; k < BK; k += DEEP) {
        T left[ROWS / ROW_PACK][DEEP * ROW_PACK];
#pragma unroll
        for (int i = 0; i < ROWS / ROW_PACK; ++i) read(left[i], a + a_place(row_in_tile(i * ROW_PACK), k));
#pragma unroll
        for (int d = 0; d < DEEP; ++d) {
            T right[COLUMNS / COLUMN_PACK][COLUMN_PACK];
#pragma unroll
            for (int j = 0; j < COLUMNS / COLUMN_PACK; ++j)
                read(right[j], b + b_place(k + d, column_in_tile(j * COLUMN_PACK)));
#pragma unroll
            for (int i = 0; i < ROWS; ++i)
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j)
                    sums[i][j] += Sum(left[i / ROW_PACK][A_IS_DEEP ? d : i % ROW_PACK]) *
                                  Sum(right[j / COLUMN_PACK][j % COLUMN_PACK]);
        }
    }
}

#elif MATH == 16

__device__ __forceinline__ void multiply(const T* a, const T* b, Sums& sums) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int first_row = warp / (BN / WN) * WM, first_column = warp % (BN / WN) * WN;
    // Of each four matrices, lanes 0 to 7 point at the rows of the first, lanes 8 to 15 at those of the second ...
    const int inner = lane % 16, outer = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        unsigned right[COLUMNS / 2][2];
#pragma unroll
        for (int j = 0; j < COLUMNS / 2; j += 2) {
            unsigned four[4];  // of columns 8j to 8j + 15: depth k to k + 7 and k + 8 to k + 15 of the first eight, then ...
            read_matrices<true>(four, b + b_place(k + inner, first_column + 8 * j + outer));
            right[j][0] = four[0], right[j][1] = four[1], right[j + 1][0] = four[2], right[j + 1][1] = four[3];
        }
#pragma unroll
        for (int i = 0; i < ROWS / 2; ++i) {
            const int m = first_row + 16 * i;
            unsigned left[4];
            if (A_IS_DEEP)
                read_matrices<false>(left, a + a_place(m + inner, k + outer));
            else
                read_matrices<true>(left, a + a_place(m + inner / 8 * 8, k + outer + inner % 8));
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; ++j) {
                float(&upper)[COLUMNS] = sums[2 * i];
                float(&lower)[COLUMNS] = sums[2 * i + 1];
                float d[4] = {upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]};
                mma_16<BFLOAT16>(d, left, right[j]);
                upper[2 * j] = d[0], upper[2 * j + 1] = d[1], lower[2 * j] = d[2], lower[2 * j + 1] = d[3];
            }
        }
    }
}

#else

// The part of x that TF32 holds, and what is left of it. The tensor cores read the upper 19 bits of both.
struct Split {
    unsigned high, low;
};

// What is cut off is at most 2/3 of a unit of TF32's last place, of either sign: x grows by 1/3 to 2/3 of it, depending on
// the mantissa, before the lower bits fall away. What TF32 holds stays, as do infinity and NaN. To round to the nearest
// takes the compiler four instructions.
__device__ __forceinline__ Split split(float x) {
    const unsigned near = __float_as_uint(fmaf(x, 1.0f / 3072, x));
    if (MATH == 1) return {near, 0};
    const unsigned high = near & 0xFFFFE000u;
    return {high, __float_as_uint(x - __uint_as_float(high))};
}

// The fragments of A of two neighbouring products, rows 2i to 2i + 3 of the lane, as mma_tf32 wants them.
__device__ __forceinline__ void read_rows(unsigned (&to)[2][4], const T* a, int i, int k) {
    const int lane = threadIdx.x % WARP;
    if constexpr (A_IS_DEEP) {  // four numbers along the depth are eight of 16 bits
        const int m = row_in_tile(2 * i) - lane / 4 + lane % 16;
#pragma unroll
        for (int j = 0; j < 2; ++j) read_matrices<false>(to[j], a + a_place(m + 16 * j, k + lane / 16 * 4));
    } else {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            T four[4];
            read(four, a + a_place(row_in_tile(2 * i), k + lane % 4 + 4 * h));
#pragma unroll
            for (int j = 0; j < 4; ++j) to[j / 2][2 * h + j % 2] = __float_as_uint(four[j]);
        }
    }
}

// Column n of product j of four neighbours is column 4n + j of 32: so a lane reads what it has of B by fours, and its own
// sums, of columns 2 (lane % 4) and the next of each product, are eight neighbours.
__device__ __forceinline__ void multiply(const T* a, const T* b, Sums& sums) {
    const int lane = threadIdx.x % WARP, t = lane % 4;
#pragma unroll
    for (int k = 0; k < BK; k += 8) {
        unsigned right[COLUMNS / 2][2], right_low[COLUMNS / 2][2];
#pragma unroll
        for (int j = 0; j < COLUMNS / 2; j += 4)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                T four[4];
                read(four, b + b_place(k + t + 4 * h, column_in_tile(2 * j) - 8 * t + lane / 4 * 4));
#pragma unroll
                for (int q = 0; q < 4; ++q) {
                    const Split number = split(four[q]);
                    right[j + q][h] = number.high, right_low[j + q][h] = number.low;
                }
            }
#pragma unroll
        for (int i = 0; i < ROWS / 2; i += 2) {
            unsigned read_ones[2][4];
            read_rows(read_ones, a, i, k);
#pragma unroll
            for (int next = 0; next < 2; ++next) {
                unsigned left[4], left_low[4];
#pragma unroll
                for (int h = 0; h < 4; ++h) {
                    const Split number = split(__uint_as_float(read_ones[next][h]));
                    left[h] = number.high, left_low[h] = number.low;
                }
#pragma unroll
                for (int j = 0; j < COLUMNS / 2; ++j) {
                    float(&upper)[COLUMNS] = sums[2 * (i + next)];
                    float(&lower)[COLUMNS] = sums[2 * (i + next) + 1];
                    const int c = j / 4 * 8 + j % 4;
                    float d[4] = {upper[c], upper[c + 4], lower[c], lower[c + 4]};
                    if (MATH == 3) {  // the small products first
                        mma_tf32(d, left_low, right[j]);
                        mma_tf32(d, left, right_low[j]);
                    }
                    mma_tf32(d, left, right[j]);
                    upper[c] = d[0], upper[c + 4] = d[1], lower[c] = d[2], lower[c + 4] = d[3];
                }
            }
        }
    }
}

#endif

// Add up `steps` steps of BK along the depth, from `first` on. Each loader has `load(tile, step)`, called by all threads
// of the block.
template <class LoaderA, class LoaderB>
__device__ __forceinline__ void add_up(LoaderA& from_a, LoaderB& from_b, int first, int steps, Sums& sums) {
    Tiles& tiles = shared<Tiles>();
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) sums[i][j] = 0;
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < steps) from_a.load(tiles.a[stage], first + stage), from_b.load(tiles.b[stage], first + stage);
        commit_copies();
    }
    for (int step = 0; step < steps; ++step) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();  // this step's tiles are there, and nobody reads any more what the next load overwrites
        const int ahead = step + STAGES - 1;
        const int at = ahead % STAGES;
        if (ahead < steps) from_a.load(tiles.a[at], first + ahead), from_b.load(tiles.b[at], first + ahead);
        commit_copies();
        multiply(tiles.a[step % STAGES], tiles.b[step % STAGES], sums);
    }
    wait_for_copies<0>();
}

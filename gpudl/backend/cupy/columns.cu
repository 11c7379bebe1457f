// Sums over the rows of a matrix (M, C), one for each column, and what is done to rows alike.
//
// Memory plan. 32 lanes read 32 neighbouring columns, so that every access is a whole line of 128 bytes; the 8 warps of
// a block take every eighth row of its share of the rows. Their sums meet in shared memory; those of different blocks
// are left in `parts`, and added up in a fixed order. The matrix is read once.

constexpr int COLUMNS_OF_BLOCK = 32, WARPS_OF_BLOCK = 8;

// The sum of what the warps of a block have, for each of its 32 columns, in the first warp.
__device__ __forceinline__ Sum over_warps(Sum mine) {
    Sum(&of_warps)[WARPS_OF_BLOCK][COLUMNS_OF_BLOCK] = shared<Sum[WARPS_OF_BLOCK][COLUMNS_OF_BLOCK]>();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    __syncthreads();  // what was there before has been read
    of_warps[warp][lane] = mine;
    __syncthreads();
    Sum total = of_warps[0][lane];
#pragma unroll
    for (int other = 1; other < WARPS_OF_BLOCK; ++other) total += of_warps[other][lane];
    return total;
}

// parts (blocks, C): the sums of x (M, C) over `share` rows each.
extern "C" __global__ void sum_columns(const T* __restrict__ x, Sum* __restrict__ parts, const int share, const int rows,
                                       const int columns) {
    const int column = blockIdx.x * COLUMNS_OF_BLOCK + threadIdx.x % WARP;
    const int begin = blockIdx.y * share, end = min(begin + share, rows);
    Sum total = 0;
    if (column < columns)
        for (int row = begin + threadIdx.x / WARP; row < end; row += WARPS_OF_BLOCK) total += x[INDEX(row) * columns + column];
    total = over_warps(total);
    if (threadIdx.x < WARP && column < columns) parts[INDEX(blockIdx.y) * columns + column] = total;
}

// dx = dy where y = max(x, 0) > 0, else 0; parts (blocks, C): the sums of dx over `share` rows each.
extern "C" __global__ void relu_gradients(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx,
                                          Sum* __restrict__ parts, const int share, const int rows, const int columns) {
    const int column = blockIdx.x * COLUMNS_OF_BLOCK + threadIdx.x % WARP;
    const int begin = blockIdx.y * share, end = min(begin + share, rows);
    Sum total = 0;
    if (column < columns)
        for (int row = begin + threadIdx.x / WARP; row < end; row += WARPS_OF_BLOCK) {
            const INDEX i = INDEX(row) * columns + column;
            const T passed = y[i] > 0 ? dy[i] : dy[i] * T(0);  // NaN stays
            dx[i] = passed;
            total += passed;
        }
    total = over_warps(total);
    if (threadIdx.x < WARP && column < columns) parts[INDEX(blockIdx.y) * columns + column] = total;
}

// parts (blocks, 2, C): the sums of dy and of dy (x - mean).
extern "C" __global__ void sum_gradients(const T* __restrict__ dy, const T* __restrict__ x, const Sum* __restrict__ mean,
                                         Sum* __restrict__ parts, const int share, const int rows, const int columns) {
    const int column = blockIdx.x * COLUMNS_OF_BLOCK + threadIdx.x % WARP;
    const int begin = blockIdx.y * share, end = min(begin + share, rows);
    Sum of_gradients = 0, of_products = 0;
    if (column < columns) {
        const Sum middle = mean[column];
        for (int row = begin + threadIdx.x / WARP; row < end; row += WARPS_OF_BLOCK) {
            const INDEX i = INDEX(row) * columns + column;
            of_gradients += dy[i];
            of_products += dy[i] * (x[i] - middle);
        }
    }
    of_gradients = over_warps(of_gradients);
    of_products = over_warps(of_products);
    if (threadIdx.x < WARP && column < columns) {
        parts[(INDEX(blockIdx.y) * 2) * columns + column] = of_gradients;
        parts[(INDEX(blockIdx.y) * 2 + 1) * columns + column] = of_products;
    }
}

// Mean and sum of squares about it, of so many numbers. Two of them make one.
// Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
struct Moments {
    Sum count, mean, squares;
};

__device__ __forceinline__ Moments both(const Moments& a, const Moments& b) {
    const Sum count = a.count + b.count;
    if (count == 0) return a;
    const Sum apart = b.mean - a.mean, share = b.count / count;
    return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
}

// parts (blocks, 3, C): count, mean and sum of squares of each column over `share` rows, in one pass.
extern "C" __global__ void moments_of_columns(const T* __restrict__ x, Sum* __restrict__ parts, const int share,
                                              const int rows, const int columns) {
    Moments(&of_warps)[WARPS_OF_BLOCK][COLUMNS_OF_BLOCK] = shared<Moments[WARPS_OF_BLOCK][COLUMNS_OF_BLOCK]>();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, column = blockIdx.x * COLUMNS_OF_BLOCK + lane;
    const int begin = blockIdx.y * share, end = min(begin + share, rows);
    Moments mine{0, 0, 0};
    if (column < columns)
        for (int row = begin + warp; row < end; row += WARPS_OF_BLOCK) {
            const Sum value = x[INDEX(row) * columns + column], apart = value - mine.mean;
            mine.count += 1;
            mine.mean += apart / mine.count;
            mine.squares += apart * (value - mine.mean);
        }
    of_warps[warp][lane] = mine;
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    for (int other = 1; other < WARPS_OF_BLOCK; ++other) mine = both(mine, of_warps[other][lane]);
    const INDEX first = INDEX(blockIdx.y) * 3 * columns + column;
    parts[first] = mine.count, parts[first + columns] = mine.mean, parts[first + 2 * columns] = mine.squares;
}

// mean (C,) and biased variance (C,), of parts (blocks, 3, C).
extern "C" __global__ void join_moments(const Sum* __restrict__ parts, Sum* __restrict__ mean, Sum* __restrict__ variance,
                                        const int blocks, const INDEX columns) {
    const INDEX column = thread_number();
    if (column >= columns) return;
    Moments all{0, 0, 0};
    for (int block = 0; block < blocks; ++block) {
        const INDEX first = INDEX(block) * 3 * columns + column;
        all = both(all, {parts[first], parts[first + columns], parts[first + 2 * columns]});
    }
    mean[column] = all.mean;
    variance[column] = all.squares / all.count;
}

// x + bias, a number for each column, or none; with `relu` what is below 0 becomes 0.
extern "C" __global__ void finish_rows(T* __restrict__ x, const T* __restrict__ bias, const int relu, const int columns,
                                       const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const T value = x[i] + (bias ? bias[i % columns] : T(0));
    x[i] = relu && value < 0 ? T(0) : value;
}

// y = (x - mean) factor + beta; a factor and a beta for each column, beta possibly none.
extern "C" __global__ void normalize_rows(const T* __restrict__ x, const Sum* __restrict__ mean,
                                          const Sum* __restrict__ factor, const T* __restrict__ beta, T* __restrict__ y,
                                          const int columns, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const int column = i % columns;
    y[i] = (x[i] - mean[column]) * factor[column] + (beta ? beta[column] : T(0));
}

// dx = factor (dy - drift - pull (x - mean)): the gradient through batch normalization in training.
extern "C" __global__ void normalize_gradients(const T* __restrict__ dy, const T* __restrict__ x,
                                               const Sum* __restrict__ mean, const Sum* __restrict__ factor,
                                               const Sum* __restrict__ drift, const Sum* __restrict__ pull,
                                               T* __restrict__ dx, const int columns, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const int column = i % columns;
    dx[i] = factor[column] * (dy[i] - drift[column] - pull[column] * (x[i] - mean[column]));
}

// Sums over the rows of a matrix (M, C), one for each column.
//
// Memory plan. 32 lanes read 32 neighbouring columns, so that every access is a whole line of 128 bytes; the 8 warps of
// a block take every eighth row of its share of the rows. Their sums meet in shared memory; those of different blocks
// are left in `parts`, and added up in a fixed order. The matrix is read once.

constexpr int COLUMNS_OF_BLOCK = 32, WARPS_OF_BLOCK = 8, WARPS_THAT_JOIN = 32;

// The sum of what the warps of a block have, for each of its 32 columns, in all of them.
template <int WARPS = WARPS_OF_BLOCK>
__device__ __forceinline__ Sum over_warps(Sum mine) {
    Sum(&of_warps)[WARPS][COLUMNS_OF_BLOCK] = shared<Sum[WARPS][COLUMNS_OF_BLOCK]>();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    __syncthreads();  // what was there before has been read
    of_warps[warp][lane] = mine;
    __syncthreads();
    Sum total = of_warps[0][lane];
#pragma unroll
    for (int other = 1; other < WARPS; ++other) total += of_warps[other][lane];
    return total;
}

// parts (blocks, C): the sums of x (M, C) over `share` rows each.
extern "C" __global__ void sum_columns(const T* __restrict__ x, Sum* __restrict__ parts, const int share, const int rows,
                                       const int columns) {
    const int column = blockIdx.x * COLUMNS_OF_BLOCK + threadIdx.x % WARP;
    const int begin = blockIdx.y * share, end = min(begin + share, rows);
    Sum total = 0;
    if (column < columns) {
#pragma unroll 4
        for (int row = begin + threadIdx.x / WARP; row < end; row += WARPS_OF_BLOCK) total += x[INDEX(row) * columns + column];
    }
    total = over_warps(total);
    if (threadIdx.x < WARP && column < columns) parts[INDEX(blockIdx.y) * columns + column] = total;
}

// dx = dy where y = max(x, 0) > 0, else 0; parts (blocks, C): the sums of dx over `share` rows each.
extern "C" __global__ void relu_gradients(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx,
                                          Sum* __restrict__ parts, const int share, const int rows, const int columns) {
    const int column = blockIdx.x * COLUMNS_OF_BLOCK + threadIdx.x % WARP;
    const int begin = blockIdx.y * share, end = min(begin + share, rows);
    Sum total = 0;
    if (column < columns) {
#pragma unroll 4
        for (int row = begin + threadIdx.x / WARP; row < end; row += WARPS_OF_BLOCK) {
            const INDEX i = INDEX(row) * columns + column;
            const T passed = y[i] <= 0 ? T(0) : dy[i];  // NaN lets pass
            dx[i] = passed;
            total += passed;
        }
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
#pragma unroll 4
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

// The moments of what the warps of a block have, for each of its 32 columns, in the first warp.
__device__ __forceinline__ Moments over_warps(Moments mine) {
    Moments(&of_warps)[WARPS_OF_BLOCK][COLUMNS_OF_BLOCK] = shared<Moments[WARPS_OF_BLOCK][COLUMNS_OF_BLOCK]>();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    of_warps[warp][lane] = mine;
    __syncthreads();
    if (warp > 0) return mine;
    for (int other = 1; other < WARPS_OF_BLOCK; ++other) mine = both(mine, of_warps[other][lane]);
    return mine;
}

// parts (blocks, 3, C): count, mean and sum of squares of each column over `share` rows, in one pass. A thread adds up
// how far its numbers are from the first of them: sums of the numbers themselves would lose what lies behind their mean.
extern "C" __global__ void moments_of_columns(const T* __restrict__ x, Sum* __restrict__ parts, const int share,
                                              const int rows, const int columns) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, column = blockIdx.x * COLUMNS_OF_BLOCK + lane;
    const int begin = blockIdx.y * share + warp, end = min((int(blockIdx.y) + 1) * share, rows);
    Moments mine{0, 0, 0};
    if (column < columns && begin < end) {
        const Sum first = x[INDEX(begin) * columns + column];
        Sum total = 0, squares = 0;
#pragma unroll 4
        for (int row = begin; row < end; row += WARPS_OF_BLOCK) {
            const Sum apart = x[INDEX(row) * columns + column] - first;
            total += apart, squares += apart * apart;
        }
        const Sum count = (end - begin + WARPS_OF_BLOCK - 1) / WARPS_OF_BLOCK;
        mine = {count, first + total / count, squares - total * total / count};
    }
    mine = over_warps(mine);
    if (warp > 0 || column >= columns) return;
    const INDEX to = INDEX(blockIdx.y) * 3 * columns + column;
    parts[to] = mine.count, parts[to + columns] = mine.mean, parts[to + 2 * columns] = mine.squares;
}

// found (3, C): of parts (blocks, 3, C) the mean, scale = 1 / sqrt(variance + epsilon) with the biased variance, and
// gamma scale. The moving mean and variance go a `step` of 1 - `keep` towards those of the batch.
extern "C" __global__ void __launch_bounds__(1024)
    join_moments(const Sum* __restrict__ parts, const T* __restrict__ gamma, T* __restrict__ moving_mean,
                 T* __restrict__ moving_variance, Sum* __restrict__ found, const int blocks, const int rows,
                 const int columns, const T keep, const T step, const T epsilon) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, column = blockIdx.x * COLUMNS_OF_BLOCK + lane;
    const int end = column < columns ? blocks : 0;
    Sum total = 0, squares = 0;
#pragma unroll 4
    for (int block = warp; block < end; block += WARPS_THAT_JOIN) {
        const Sum* part = parts + INDEX(block) * 3 * columns + column;
        total += part[0] * part[columns];
    }
    const Sum mean = over_warps<WARPS_THAT_JOIN>(total) / rows;
#pragma unroll 4
    for (int block = warp; block < end; block += WARPS_THAT_JOIN) {
        const Sum* part = parts + INDEX(block) * 3 * columns + column;
        const Sum apart = part[columns] - mean;
        squares += part[2 * columns] + part[0] * apart * apart;
    }
    const Sum variance = over_warps<WARPS_THAT_JOIN>(squares) / rows, scale = 1 / sqrt(variance + epsilon);
    if (warp > 0 || column >= columns) return;
    found[column] = mean, found[columns + column] = scale;
    found[2 * columns + column] = gamma ? gamma[column] * scale : scale;
    moving_mean[column] = moving_mean[column] * keep + step * mean;
    moving_variance[column] = moving_variance[column] * keep + step * variance;
}

// found (5, C): of parts (blocks, 2, C), the sums of dy and of dy (x - mean), the gradients of gamma and beta, and what
// dx is made of: drift and pull, which are 0 without `training`, and gamma scale. Source: Ioffe and Szegedy 2015.
extern "C" __global__ void __launch_bounds__(1024)
    join_gradients(const Sum* __restrict__ parts, const Sum* __restrict__ scale, const T* __restrict__ gamma,
                   Sum* __restrict__ found, const int blocks, const int rows, const int columns, const int training) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, column = blockIdx.x * COLUMNS_OF_BLOCK + lane;
    const int end = column < columns ? blocks : 0;
    Sum of_gradients = 0, of_products = 0;
#pragma unroll 4
    for (int block = warp; block < end; block += WARPS_THAT_JOIN) {
        const Sum* part = parts + INDEX(block) * 2 * columns + column;
        of_gradients += part[0], of_products += part[columns];
    }
    of_gradients = over_warps<WARPS_THAT_JOIN>(of_gradients);
    of_products = over_warps<WARPS_THAT_JOIN>(of_products);
    if (warp > 0 || column >= columns) return;
    const Sum dgamma = of_products * scale[column];
    found[column] = dgamma, found[columns + column] = of_gradients;
    found[2 * columns + column] = training ? of_gradients / rows : Sum(0);
    found[3 * columns + column] = training ? dgamma * scale[column] / rows : Sum(0);
    found[4 * columns + column] = gamma ? gamma[column] * scale[column] : scale[column];
}

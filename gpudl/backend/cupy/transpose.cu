// Matrices turned round: bandwidth alone.
//
// Memory plan. A block takes 32 x 32 numbers of a matrix: read along its rows, kept in shared memory, written along its
// columns, so that 32 lanes always meet whole lines. A row in shared memory is a number longer than the square, so that
// neighbours in a column lie in different banks.

constexpr int SIDE = 32, ROWS_AT_ONCE = 8;

// y (count, columns, rows) of x (count, rows, columns).
extern "C" __global__ void __launch_bounds__(SIDE * ROWS_AT_ONCE)
    transpose(const T* __restrict__ x, T* __restrict__ y, const int rows, const int columns) {
    T(&square)[SIDE][SIDE + 1] = shared<T[SIDE][SIDE + 1]>();
    const int lane = threadIdx.x % SIDE, warp = threadIdx.x / SIDE;
    const int first_row = blockIdx.x * SIDE, first_column = blockIdx.y * SIDE;
    const INDEX matrix = INDEX(blockIdx.z) * rows * columns;
#pragma unroll
    for (int i = warp; i < SIDE; i += ROWS_AT_ONCE) {
        const int row = first_row + i, column = first_column + lane;
        if (row < rows && column < columns) square[i][lane] = x[matrix + INDEX(row) * columns + column];
    }
    __syncthreads();
#pragma unroll
    for (int i = warp; i < SIDE; i += ROWS_AT_ONCE) {
        const int row = first_row + lane, column = first_column + i;
        if (row < rows && column < columns) y[matrix + INDEX(column) * rows + row] = square[lane][i];
    }
}

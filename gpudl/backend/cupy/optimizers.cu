// Optimizer steps on flat buffers, in place: each number of the weights, gradients and slots is read and written once.
//
// w, g, m, v stand for one weight, its gradient and its slots. Roots and quotients are exact: a step has the
// numbers that the CPU's has, but for rounding where the compiler makes one operation of a product and a sum.

extern "C" __global__ void scale(T* __restrict__ x, const T factor, const INDEX size) {
    const INDEX i = thread_number();
    if (i < size) x[i] *= factor;
}

extern "C" __global__ void mix(T* __restrict__ x, const T keep, const T* __restrict__ y, const T share, const INDEX size) {
    const INDEX i = thread_number();
    if (i < size) x[i] = keep * x[i] + share * y[i];
}

extern "C" __global__ void clip_value(T* __restrict__ g, const T limit, const INDEX size) {
    const INDEX i = thread_number();
    if (i < size && g[i] == g[i]) g[i] = g[i] < -limit ? -limit : g[i] > limit ? limit : g[i];  // NaN stays
}

// parts (blocks,): the sums of the squares of a block's numbers.
extern "C" __global__ void sum_squares(const T* __restrict__ g, double* __restrict__ parts, const INDEX size) {
    double(&of_warps)[8] = shared<double[8]>();
    double sum = 0;
    for (INDEX i = thread_number(); i < size; i += INDEX(gridDim.x) * blockDim.x) sum += double(g[i]) * double(g[i]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int warp = 1; warp < 8; ++warp) sum += of_warps[warp];
    parts[blockIdx.x] = sum;
}

// Scale g so that its norm is no more than `limit`; a norm of infinity makes it NaN. The norm is not read back: every
// thread adds up the parts itself, in the same order.
extern "C" __global__ void clip_norm(T* __restrict__ g, const double* __restrict__ parts, const int count,
                                     const double limit, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    double squares = 0;
    for (int part = 0; part < count; ++part) squares += parts[part];
    const double norm = sqrt(squares);
    if (!(norm <= limit)) g[i] = T(g[i] * (limit / norm + (norm - norm)));
}

extern "C" __global__ void sgd(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ velocity, const T rate,
                               const T momentum, const bool nesterov, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const T step = rate * g[i];
    if (!velocity) {
        w[i] -= step;
        return;
    }
    const T v = velocity[i] = momentum * velocity[i] - step;
    w[i] += nesterov ? momentum * v - step : v;
}

// m is the mean of the gradients / (1 - beta_1) and v that of their squares / (1 - beta_2), as on the CPU.
extern "C" __global__ void adam(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ m, T* __restrict__ v,
                                T* __restrict__ largest, const T factor, const T shift, const T beta_1, const T beta_2,
                                const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    m[i] = beta_1 * m[i] + g[i];
    T square = v[i] = beta_2 * v[i] + g[i] * g[i];
    if (largest) square = largest[i] = largest[i] > square ? largest[i] : square;
    w[i] -= factor * (m[i] / (sqrt(square) + shift));
}

extern "C" __global__ void nadam(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ m, T* __restrict__ v,
                                 const T of_mean, const T of_gradient, const T beta_1, const T beta_2,
                                 const T correction, const T epsilon, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    m[i] = beta_1 * m[i] + (1 - beta_1) * g[i];
    v[i] = beta_2 * v[i] + (1 - beta_2) * g[i] * g[i];
    w[i] -= (of_mean * m[i] + of_gradient * g[i]) / (sqrt(v[i] / correction) + epsilon);
}

extern "C" __global__ void adamax(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ m, T* __restrict__ largest,
                                  const T step_size, const T beta_1, const T beta_2, const T epsilon, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    m[i] = beta_1 * m[i] + (1 - beta_1) * g[i];
    const T size_of_g = g[i] < 0 ? -g[i] : g[i], before = beta_2 * largest[i];
    largest[i] = before > size_of_g ? before : size_of_g;
    w[i] -= step_size * (m[i] / (largest[i] + epsilon));
}

extern "C" __global__ void lion(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ m, const T rate,
                                const T beta_1, const T beta_2, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const T direction = beta_1 * m[i] + (1 - beta_1) * g[i];
    w[i] -= direction > 0 ? rate : direction < 0 ? -rate : direction;
    m[i] = beta_2 * m[i] + (1 - beta_2) * g[i];
}

extern "C" __global__ void rmsprop(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ v, T* __restrict__ moment,
                                   T* __restrict__ average, const T rate, const T rho, const T momentum, const T epsilon,
                                   const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    v[i] = rho * v[i] + (1 - rho) * g[i] * g[i];
    T square = v[i];
    if (average) {
        average[i] = rho * average[i] + (1 - rho) * g[i];
        square -= average[i] * average[i];
    }
    T step = rate * (g[i] / sqrt(square + epsilon));
    if (moment) step = moment[i] = momentum * moment[i] + step;
    w[i] -= step;
}

extern "C" __global__ void adagrad(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ v, const T rate,
                                   const T epsilon, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    v[i] += g[i] * g[i];
    w[i] -= rate * (g[i] / sqrt(v[i] + epsilon));
}

extern "C" __global__ void adadelta(T* __restrict__ w, const T* __restrict__ g, T* __restrict__ of_gradients,
                                    T* __restrict__ of_steps, const T rate, const T rho, const T epsilon,
                                    const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    of_gradients[i] = rho * of_gradients[i] + (1 - rho) * g[i] * g[i];
    const T step = g[i] * sqrt((of_steps[i] + epsilon) / (of_gradients[i] + epsilon));
    of_steps[i] = rho * of_steps[i] + (1 - rho) * step * step;
    w[i] -= rate * step;
}

// Host twins of the instructions in gpudl/backend/cupy/mma.cuh: the same functions, in plain C++.
#pragma once

#include "cuda_on_cpu.hpp"
#include "include/cuda_bf16.h"

// cp.async, its groups and its wait. A copy reads and writes at the wait that ends it.
template <int BYTES>
inline void copy_async(void* to, const void* from, bool inside) {
    static_assert(BYTES == 2 || BYTES == 4 || BYTES == 8 || BYTES == 16);
    cuda_on_cpu::Thread& self = *cuda_on_cpu::current;
    if (reinterpret_cast<uintptr_t>(to) % BYTES || (inside && reinterpret_cast<uintptr_t>(from) % BYTES)) {
        fprintf(stderr, "copy_async of %d bytes from or to an address that is not aligned\n", BYTES);
        abort();
    }
    if (BYTES == 2) {  // no such instruction: the thread copies by itself, at once
        inside ? memcpy(to, from, 2) : memset(to, 0, 2);
        return;
    }
    if (self.pending_count == cuda_on_cpu::PENDING) {
        fprintf(stderr, "more than %d copies are under way in one thread\n", cuda_on_cpu::PENDING);
        abort();
    }
    self.pending[self.pending_count++] = {to, from, inside ? BYTES : 0, BYTES, self.group};
}

inline void commit_copies() { ++cuda_on_cpu::current->group; }

template <int GROUPS>
inline void wait_for_copies() {
    cuda_on_cpu::land(cuda_on_cpu::current->group - 1 - GROUPS);
}

// D += A B of one warp: A 16x8 and B 8x8 in TF32, D 16x8 in float32. Source: PTX ISA, mma.m16n8k8.
inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    struct Fragments {
        double a[4], b[2];
    } mine;
    // The tensor core reads the upper 19 bits alone.
    for (int i = 0; i < 4; ++i) mine.a[i] = __uint_as_float(a[i] & 0xFFFFE000u);
    for (int i = 0; i < 2; ++i) mine.b[i] = __uint_as_float(b[i] & 0xFFFFE000u);
    cuda_on_cpu::Collective<Fragments> all(mine, "mma_tf32");
    const int lane = cuda_on_cpu::current->number % 32;
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4, column = lane % 4 * 2 + i % 2;
        double sum = d[i];
        for (int k = 0; k < 8; ++k)
            sum += all.of(row * 4 + k % 4).a[i / 2 + k / 4 * 2] * all.of(column * 4 + k % 4).b[k / 4];
        d[i] = float(sum);
    }
}

// ldmatrix: every lane lends the address of a row of eight 16-bit numbers, and gets two numbers of each matrix.
template <bool TURNED>
inline void read_matrices(unsigned (&to)[4], const void* row) {
    if (reinterpret_cast<uintptr_t>(row) % 16) {
        fprintf(stderr, "read_matrices from an address that is not a multiple of 16\n");
        abort();
    }
    cuda_on_cpu::Collective<const void*> all(row, "read_matrices");
    const int lane = cuda_on_cpu::current->number % 32, g = lane / 4, t = lane % 4;
    for (int matrix = 0; matrix < 4; ++matrix) {
        uint16_t pair[2];
        for (int i = 0; i < 2; ++i) {
            const int r = TURNED ? 2 * t + i : g, c = TURNED ? g : 2 * t + i;
            memcpy(&pair[i], static_cast<const char*>(all.of(matrix * 8 + r)) + 2 * c, 2);
        }
        to[matrix] = pair[0] | unsigned(pair[1]) << 16;
    }
}

// D += A B of one warp: A 16x16 and B 16x8 of 16-bit numbers, D 16x8 in float32. Source: PTX ISA, mma.m16n8k16.
template <bool BRAIN>
inline void mma_16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto number = [](unsigned pair, int which) {
        const uint16_t bits = uint16_t(which ? pair >> 16 : pair);
        if (BRAIN) return float(__nv_bfloat16{bits});
        return float(__half{bits});
    };
    struct Fragments {
        float a[4][2], b[2][2];
    } mine;
    for (int i = 0; i < 8; ++i) mine.a[i / 2][i % 2] = number(a[i / 2], i % 2);
    for (int i = 0; i < 4; ++i) mine.b[i / 2][i % 2] = number(b[i / 2], i % 2);
    cuda_on_cpu::Collective<Fragments> all(mine, "mma_16");
    const int lane = cuda_on_cpu::current->number % 32;
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4, column = lane % 4 * 2 + i % 2;
        double sum = d[i];
        for (int k = 0; k < 16; ++k) {
            const Fragments &left = all.of(row * 4 + k % 8 / 2), &right = all.of(column * 4 + k % 8 / 2);
            sum += double(left.a[i / 2 + k / 8 * 2][k % 2]) * right.b[k / 8][k % 2];
        }
        d[i] = float(sum);
    }
}

// Every instruction that C++ has no word for: copies that run beside the computation, and the tensor cores' products.
#pragma once

#ifdef __CUDACC_RTC__  // elsewhere host twins stand for these: tests/cuda_on_cpu/instructions_on_cpu.hpp

// Begin to copy 4, 8 or 16 bytes from global to shared memory; where `inside` is false, zeros are written instead and
// nothing is read. Both addresses are multiples of BYTES. Before sm_80 the thread copies by itself, and 2 bytes always.
template <int BYTES>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool inside) {
    if constexpr (BYTES == 2) {
        *static_cast<unsigned short*>(to) = inside ? *static_cast<const unsigned short*>(from) : 0;
        return;
    }
#if __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = inside ? BYTES : 0;
    if constexpr (BYTES == 16)  // past the first-level cache, which the shared memory takes its room from
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(address), "l"(from), "r"(bytes), "n"(BYTES)
                     : "memory");
#else
    struct __align__(BYTES) Bytes {
        unsigned words[BYTES > 2 ? BYTES / 4 : 1];
    };
    *static_cast<Bytes*>(to) = inside ? *static_cast<const Bytes*>(from) : Bytes{};
#endif
}

// End a group of copies: all that this thread has begun since the last call.
__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until at most GROUPS of this thread's groups of copies are under way.
template <int GROUPS>
__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#endif
}

// D += A B for a warp: A (16, 8) and B (8, 8) in TF32, D (16, 8) in float32. With g = lane / 4 and t = lane % 4 a lane
// holds A[g][t], A[g + 8][t], A[g][t + 4], A[g + 8][t + 4]; B[t][g], B[t + 4][g]; D[g][2t], D[g][2t + 1],
// D[g + 8][2t], D[g + 8][2t + 1]. Source: PTX ISA, mma.m16n8k8. From sm_80 on.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Read four matrices of 8 x 8 16-bit numbers from shared memory. Lane i tells where row i % 8 of matrix i / 8 begins, a
// multiple of 16 bytes. With g = lane / 4 and t = lane % 4 a lane gets from each M[g][2t], M[g][2t + 1]; TURNED,
// M[2t][g], M[2t + 1][g]. Source: PTX ISA, ldmatrix.
template <bool TURNED>
__device__ __forceinline__ void read_matrices(unsigned (&to)[4], const void* row) {
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (TURNED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address) : "memory");
}

// D += A B for a warp: A (16, 16) and B (16, 8) of float16 or, if BRAIN, bfloat16; D (16, 8) in float32. With g and t as
// above a lane holds, by pairs of neighbours along the depth, A[g][2t], A[g + 8][2t], A[g][2t + 8], A[g + 8][2t + 8];
// B[2t][g], B[2t + 8][g]; D as in mma_tf32. Source: PTX ISA, mma.m16n8k16. From sm_80 on.
template <bool BRAIN>
__device__ __forceinline__ void mma_16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    if constexpr (BRAIN)
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif

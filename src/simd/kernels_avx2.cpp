/*
 * kernels_avx2.cpp - the kernels for AVX2, FMA and F16C.
 *
 * Compiled with -mavx2 -mfma -mf16c; empty on other platforms.
 */
#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "this file needs -mavx2 -mfma -mf16c"
#endif
#define OMENDB_SIMD_ISA   avx2
#define OMENDB_SIMD_WIDTH 8
#include "simd/kernels-inl.h"
#endif

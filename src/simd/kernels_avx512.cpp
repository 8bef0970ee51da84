/*
 * kernels_avx512.cpp - the kernels for AVX-512 F, BW, VL, DQ and VNNI.
 *
 * Compiled with -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
 * -mavx2 -mfma -mf16c; empty on other platforms.
 */
#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
	!defined(__AVX512DQ__) || !defined(__AVX512VNNI__)
#error "this file needs -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni"
#endif
#define OMENDB_SIMD_ISA   avx512
#define OMENDB_SIMD_WIDTH 16
#include "simd/kernels-inl.h"
#endif

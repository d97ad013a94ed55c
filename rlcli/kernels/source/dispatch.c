// What this processor can run; compiled once, for any processor.
#include <stdint.h>

#define PUBLIC __attribute__((visibility("default")))

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
}

// 2: AVX-512 F, BW, DQ, VL; 1: AVX2 and FMA; 0: neither. The operating system must keep the registers, too.
PUBLIC int rlcli_level(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const uint32_t fma = 1u << 12, xsave = 1u << 27, avx = 1u << 28;
  if (!(c & fma) || !(c & xsave) || !(c & avx)) return 0;
  const uint64_t state = enabled_state();
  if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const uint32_t avx2 = 1u << 5, wide = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  if (!(b & avx2)) return 0;
  return (b & wide) == wide && (state & 0xe6) == 0xe6 ? 2 : 1;
}
#else
PUBLIC int rlcli_level(void) { return 0; }
#endif

// The digest of the sources that this library was built from.
PUBLIC const char *rlcli_sources(void) {
  static const char mark[] = "rlcli kernels " SOURCES;
  return mark + sizeof("rlcli kernels ") - 1;
}

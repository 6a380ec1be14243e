/* visibility_end.h - closes what visibility.h opened. */
#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

/* visibility.h - opens a private header's declarations: nothing in them leaves the library, so that
 * they can neither clash with a program's own names nor be replaced by them. */
#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility push(hidden)
#endif

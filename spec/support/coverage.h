/* coverage.h - for processes that end without exit: what `make coverage` has counted in them. */
#ifndef COVERAGE_H
#define COVERAGE_H

#ifdef PKV_COVERAGE
void __gcov_dump(void);
#define coverage_dump() __gcov_dump()
#else
#define coverage_dump() (void)0
#endif

#endif

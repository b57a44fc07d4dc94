#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *file, int line, const char *what)
{
    /* The last words of the process: no allocation, no log ring in between. */
    (void)fprintf(stderr, "seriatim: %s:%d: assertion failed: %s\n", file, line, what);
    abort();
}

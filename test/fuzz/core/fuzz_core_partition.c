/* A run of commands, commits, failures and restarts, against the naive model. */
#include "scenario.h"

/* A longer run finds nothing that a shorter one does not, only later. */
#define INPUT_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scenario_marks marks = {0};
    if (size > INPUT_MAX) {
        return -1;
    }
    scenario_run(bytes_of(data, size), &marks);
    return 0;
}

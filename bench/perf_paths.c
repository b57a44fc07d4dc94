/* Runs one of the main paths so that what it does in perf_measure() can be counted from outside
 * (tools/perf-gate): once to warm up, which is not counted, and once more.
 *
 *   perf_paths --list          name, unit and units of a run, a line each
 *   perf_paths NAME            runs it
 *   perf_paths NAME --twice    counts two runs: a planted slowdown, for the gate's own test
 *   perf_paths --made-with     what the count depends on beside the source, a line each */
#include "perf_paths.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Never inlined, and a name of its own: that is where the counting begins and ends. */
__attribute__((noinline, noclone)) void perf_measure(const struct path *path, void *world);

void perf_measure(const struct path *path, void *world)
{
    path->run(world);
    __asm__ volatile("" ::: "memory"); /* no tail call: the end must be seen */
}

static const struct path *path_at(size_t index)
{
    static const struct {
        const struct path *paths;
        size_t count;
    } tables[] = {
        {session_paths, sizeof(session_paths) / sizeof(session_paths[0])},
        {log_paths, sizeof(log_paths) / sizeof(log_paths[0])},
        {wire_paths, sizeof(wire_paths) / sizeof(wire_paths[0])},
    };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (index < tables[i].count) {
            return &tables[i].paths[index];
        }
        index -= tables[i].count;
    }
    return NULL;
}

static void path_run(const struct path *path, unsigned times)
{
    void *world = path->open();
    for (unsigned i = 0; i <= times; i++) {
        if (path->prepare != NULL) {
            path->prepare(world);
        }
        if (i == 0) {
            path->run(world);
        } else {
            perf_measure(path, world);
        }
    }
    path->close(world);
}

static void made_with(void)
{
#ifdef __clang__
    (void)printf("compiler\tclang " __clang_version__ "\n");
#else
    (void)printf("compiler\tgcc " __VERSION__ "\n");
#endif
    (void)printf("libc\tglibc %s\n", gnu_get_libc_version());
    (void)printf("xxhash\t%d.%d.%d\n", XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE);
#ifdef __x86_64__
    (void)printf("processor\tx86-64%s\n", __builtin_cpu_supports("sse4.2") ? ", sse4.2" : "");
#else
    (void)printf("processor\tother\n");
#endif
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--made-with") == 0) {
        made_with();
        return 0;
    }
    const struct path *path;
    for (size_t i = 0; argc >= 2 && (path = path_at(i)) != NULL; i++) {
        if (strcmp(argv[1], "--list") == 0) {
            (void)printf("%s\t%s\t%llu\n", path->name, path->unit, (unsigned long long)path->units);
        } else if (strcmp(argv[1], path->name) == 0) {
            path_run(path, argc == 3 && strcmp(argv[2], "--twice") == 0 ? 2 : 1);
            return 0;
        }
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return 0;
    }
    (void)fputs("usage: perf_paths --list | --made-with | NAME [--twice]\n", stderr);
    return 2;
}

/*
 * How the engine gets into the distribution's PHP program.
 *
 * Debian's php8.2 exports all of PHP for its extensions and is linked at a place of its own, so PHP's calls within
 * itself are direct; in libphp.so each goes through a table, which costs pages that compute 5 to 10 %. The master
 * starts that program with this library in LD_PRELOAD. The program's entry point calls __libc_start_main to run its
 * main(): the library's definition comes first, and runs the engine instead. No code of the program's SAPI runs.
 */
#include "cenginehost.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int main_function(int, char **, char **);
typedef int start_function(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                           void (*rtld_fini)(void), void *stack_end);

/* This library stands first in LD_PRELOAD, before what the administrator may have there. Programs that scripts start
   get the administrator's. */
static void leave_environment(void) {
    const char *names = getenv("LD_PRELOAD");
    const char *rest = names ? strchr(names, ':') : NULL;
    if (rest && rest[1])
        (void)setenv("LD_PRELOAD", rest + 1, 1);
    else
        (void)unsetenv("LD_PRELOAD");
}

static int engine_main(int argc, char **argv, char **environment) {
    (void)environment;
    leave_environment();
    fpmd_engine_library_main(argc, argv);
    return 70;
}

__attribute__((visibility("default"))) int __libc_start_main(main_function *main, int argc, char **argv,
                                                             void (*init)(void), void (*fini)(void),
                                                             void (*rtld_fini)(void), void *stack_end) {
    start_function *start;
    (void)main;
    void *found = dlsym(RTLD_NEXT, "__libc_start_main");
    if (!found) _exit(70);
    memcpy(&start, &found, sizeof start);
    return start(engine_main, argc, argv, init, fini, rtld_fini, stack_end);
}

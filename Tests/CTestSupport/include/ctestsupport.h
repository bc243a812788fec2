// Kernel calls that the test suites need and Swift cannot import.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

#include <spawn.h>
#include <sys/types.h>

// Makes this process the parent of every orphan among its descendants, so that a test sees what a
// daemon left behind. prctl(2) is variadic, which Swift does not import. Returns -1 and sets errno.
int ctest_become_subreaper(void);

// Opens a close-on-exec descriptor that polls readable when `pid` exits. glibc has no wrapper before 2.36.
int ctest_pidfd_open(pid_t pid);

// posix_spawn_file_actions_addchdir_np(3), which glibc declares for _GNU_SOURCE only. Returns an errno.
int ctest_spawn_chdir(posix_spawn_file_actions_t *actions, const char *path);

// posix_spawn_file_actions_addclosefrom_np(3), which glibc declares for _GNU_SOURCE only. Returns an errno.
int ctest_spawn_close_from(posix_spawn_file_actions_t *actions, int first);

// Sends this process a signal as the kernel does after an instruction (SIGTRAP of a breakpoint) or a system call (SIGSYS of
// a filter): its handler returns behind that. Returns -1 and sets errno.
int ctest_raise_as_kernel(int number);

#endif

#include "csystemd.h"
#if !__has_include(<systemd/sd-daemon.h>)
#error "libsystemd's headers are missing: apt-get install libsystemd-dev"
#endif
#include <systemd/sd-daemon.h>

int csystemd_notify(const char *state) { return sd_notify(0, state); }
int csystemd_booted(void) { return sd_booted(); }

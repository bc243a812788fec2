/* placeholder until the CPU timer is in */
#include "sapi.h"
void fpmd_timer_worker_init(void) {}
void fpmd_timer_request_end(void) {}

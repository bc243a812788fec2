/* What this process has allocated, as its allocators say. */
#include "php_headers.h"
#include "cphp.h"
#include <malloc.h>

size_t fpmd_php_allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return zend_memory_usage(true) + info.arena + info.hblkhd;
}

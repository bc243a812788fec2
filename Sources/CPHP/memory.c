/* Memory of PHP's and the C library's allocators: how much it is, and giving back what no request needs. */
#include "php_headers.h"
#include "cphp.h"
#include <malloc.h>
#include <sys/mman.h>

size_t fpmd_php_allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return zend_memory_usage(true) + info.arena + info.hblkhd;
}

/*
 * Between two requests PHP keeps a chunk of its heap, of which only the first page (its own notes) has a meaning, and
 * spare chunks, as many as requests have needed on average. The notes begin with the address of the heap, which is in
 * the same page.
 */
void fpmd_php_release_memory(void)
{
    if (is_zend_mm() && zend_memory_usage(false) == 0) {
        const void *heap = zend_mm_get_heap();
        char *chunk = (char *)((uintptr_t)heap & ~(uintptr_t)(ZEND_MM_CHUNK_SIZE - 1));
        size_t kept = ZEND_MM_FIRST_PAGE * ZEND_MM_PAGE_SIZE;

        zend_set_memory_limit(ZEND_MM_CHUNK_SIZE);      /* frees spare chunks, as far as they are beyond it */
        zend_set_memory_limit(PG(memory_limit));
        if (*(const void **)chunk == heap) {
            madvise(chunk + kept, ZEND_MM_CHUNK_SIZE - kept, MADV_DONTNEED);
        }
    }
    malloc_trim(0);
}

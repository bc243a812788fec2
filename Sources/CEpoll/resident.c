/* Memory that is mapped and that nobody needs any more: after a start, most of a program is start-up code. */
#include "cepoll.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* /proc/PID/pagemap: the page is in memory; it is a file's or shared, not a copy of this process. */
#define PAGE_PRESENT ((uint64_t)1 << 63)
#define PAGE_OF_FILE ((uint64_t)1 << 61)

/* Releases the pages of one private mapping of a file that are still the file's. */
static size_t release(int pagemap, uintptr_t start, uintptr_t end, size_t page_size)
{
    uint64_t pages[256];
    size_t released = 0;

    for (uintptr_t next = start; next < end;) {
        size_t wanted = (end - next) / page_size;
        ssize_t length;
        size_t count;

        if (wanted > sizeof pages / sizeof *pages) wanted = sizeof pages / sizeof *pages;
        length = pread(pagemap, pages, wanted * sizeof *pages, (off_t)(next / page_size * sizeof *pages));
        if (length < (ssize_t)sizeof *pages) break;
        count = (size_t)length / sizeof *pages;
        for (size_t first = 0; first < count;) {
            size_t last = first;

            while (last < count && (pages[last] & PAGE_PRESENT) && (pages[last] & PAGE_OF_FILE)) last++;
            if (last > first && madvise((void *)(next + first * page_size), (last - first) * page_size, MADV_DONTNEED) == 0)
                released += (last - first) * page_size;
            first = last > first ? last : first + 1;
        }
        next += count * page_size;
    }
    return released;
}

void cepoll_release_pages(void *start, size_t length)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)start + page_size - 1) / page_size * page_size;
    uintptr_t end = ((uintptr_t)start + length) / page_size * page_size;

    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
}

void cepoll_open_memory(cepoll_memory *memory)
{
    memory->maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    memory->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void cepoll_close_memory(cepoll_memory *memory)
{
    if (memory->maps >= 0) close(memory->maps);
    if (memory->pagemap >= 0) close(memory->pagemap);
    memory->maps = memory->pagemap = -1;
}

size_t cepoll_release_memory(const cepoll_memory *memory)
{
    char text[4096], line[128];
    size_t used = 0, released = 0, page_size = (size_t)sysconf(_SC_PAGESIZE);
    ssize_t length;

    malloc_trim(0);
    if (memory->pagemap < 0 || lseek(memory->maps, 0, SEEK_SET) != 0) return 0;
    while ((length = read(memory->maps, text, sizeof text)) > 0) {
        for (ssize_t index = 0; index < length; index++) {
            uintptr_t start, end;
            uint64_t inode;
            char access[5];

            if (text[index] != '\n') {
                /* What is cut off is the end of a long path. */
                if (used < sizeof line - 1) line[used++] = text[index];
                continue;
            }
            line[used] = 0;
            used = 0;
            /* `START-END rwxp OFFSET DEVICE INODE PATH` */
            if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %" SCNu64, &start, &end, access, &inode) == 4 &&
                inode != 0 && access[3] == 'p')
                released += release(memory->pagemap, start, end, page_size);
        }
    }
    return released;
}

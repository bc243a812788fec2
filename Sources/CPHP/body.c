/* The request body. */
#include "sapi.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The body may be in a local file (parameter REQUEST_BODY_FILE) instead of the FastCGI stream. */
static void decide_source(void)
{
    const fpmd_parameter *file = fpmd_parameter_find(ZEND_STRL("REQUEST_BODY_FILE"));

    if (!file || file->value[0] == '\0') {
        fpmd_sapi.body_file = FPMD_BODY_STREAM;
        return;
    }
    int descriptor = open(file->value, O_RDONLY | O_CLOEXEC);
    fpmd_sapi.body_file = descriptor < 0 ? FPMD_BODY_REFUSED : descriptor;
    if (descriptor < 0) {
        php_error(E_WARNING, "REQUEST_BODY_FILE: open('%s') failed: %s (%d)", file->value, strerror(errno), errno);
    }
}

static ssize_t read_some(char *buffer, size_t length)
{
    ssize_t count;

    if (fpmd_sapi.body_file == FPMD_BODY_STREAM) {
        return fpmd_sapi.host.read_body(fpmd_sapi.host.context, buffer, length);
    }
    do {
        count = read(fpmd_sapi.body_file, buffer, length);
    } while (count < 0 && errno == EINTR);
    return count;
}

size_t fpmd_read_post(char *buffer, size_t length)
{
    int64_t announced = SG(request_info).content_length;
    int64_t missing = (announced < 0 ? INT64_MAX : announced) - SG(read_post_bytes);
    size_t done = 0;

    if (!fpmd_sapi.request || missing <= 0) {
        return 0;
    }
    if ((uint64_t)missing < length) {
        length = (size_t)missing;
    }
    if (fpmd_sapi.body_file == FPMD_BODY_UNDECIDED) {
        decide_source();
    }
    if (fpmd_sapi.body_file == FPMD_BODY_REFUSED) {
        return 0;
    }
    while (done < length) {
        ssize_t count = read_some(buffer + done, length - done);
        if (count <= 0) {
            break;
        }
        done += (size_t)count;
    }
    return done;
}

void fpmd_body_close(void)
{
    if (fpmd_sapi.body_file >= 0) {
        close(fpmd_sapi.body_file);
    }
    fpmd_sapi.body_file = FPMD_BODY_UNDECIDED;
}

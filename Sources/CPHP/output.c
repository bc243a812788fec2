/* PHP's output, into the host's buffer. */
#include "sapi.h"

static bool drain(bool flush)
{
    if (fpmd_sapi.host.drain(fpmd_sapi.host.context, flush)) {
        return true;
    }
    fpmd_sapi.aborted = true;
    return false;
}

/* How much of a large write has been sent from where it is; -1: the client is gone. */
static ssize_t send_large(const char *bytes, size_t length)
{
    ssize_t sent = 0;

    if (length >= fpmd_sapi.host.output->whole) {
        sent = fpmd_sapi.host.send_whole(fpmd_sapi.host.context, bytes, length);
    }
    if (sent < 0) {
        fpmd_sapi.aborted = true;
    }
    return sent;
}

bool fpmd_output_append(const char *bytes, size_t length)
{
    fpmd_output *output = fpmd_sapi.host.output;
    ssize_t sent = send_large(bytes, length);

    if (sent < 0) {
        return false;
    }
    bytes += sent;
    length -= (size_t)sent;
    while (length > 0) {
        size_t room = output->limit - output->used;
        if (room == 0) {
            if (!drain(false) || output->used >= output->limit) {
                return false;
            }
            room = output->limit - output->used;
        }
        size_t part = length < room ? length : room;
        memcpy(output->base + output->used, bytes, part);
        output->used += part;
        bytes += part;
        length -= part;
    }
    return true;
}

size_t fpmd_ub_write(const char *bytes, size_t length)
{
    if (!fpmd_sapi.request) {
        /* Start-up and the informational modes. */
        fpmd_print(bytes, length);
    } else if (!fpmd_output_append(bytes, length)) {
        php_handle_aborted_connection();    /* leaves by longjmp unless ignore_user_abort */
        return 0;
    }
    return length;
}

void fpmd_flush(void *server_context)
{
    (void)server_context;
    if (!fpmd_sapi.request) {
        return;
    }
#if PHP_VERSION_ID >= 80400
    /* Since 8.4 flush() sends the headers even when there is no body yet. */
    sapi_send_headers();
#endif
    if (!drain(true)) {
        php_handle_aborted_connection();
    }
}

bool fpmd_php_aborted(void)
{
    return fpmd_sapi.aborted;
}

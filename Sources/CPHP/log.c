/* Messages of PHP and of this module: to FCGI_STDERR and to the host's log, cut to the log limit. */
#include "sapi.h"

#include <stdarg.h>

#define OWN_MESSAGE_MAX 2048

void fpmd_php_set_log_limit(size_t bytes)
{
    fpmd_sapi.log_limit = bytes;
}

void fpmd_php_hide_notices(bool hidden)
{
    fpmd_sapi.hides_notices = hidden;
}

/* Bytes of text that fit on a line of `limit` bytes behind "LEVEL: " and before the newline. */
static size_t room_for_text(fpmd_level level, size_t limit)
{
    static const uint8_t label_length[] = { 0, 5, 6, 7, 5, 5 };     /* DEBUG NOTICE WARNING ERROR ALERT */
    size_t frame = level == FPMD_UNLABELLED ? 1u : label_length[level] + 2u + 1u;
    return limit > frame + 3 ? limit - frame : 3;
}

/* `text` is changed when it has to be cut: its last three bytes become dots. */
static void deliver(fpmd_level level, char *text, size_t length, size_t limit)
{
    const fpmd_host *host = &fpmd_sapi.host;
    size_t room = room_for_text(level, limit);

    if (length > room) {
        memcpy(text + room - 3, "...", 3);
        length = room;
    }
    if (length == 0 || !fpmd_sapi.has_host) {
        return;
    }
    if (fpmd_sapi.request && fpmd_settings_globals.logging) {
        host->write_error(host->context, text, length);
    }
    host->log(host->context, level, text, length);
}

void fpmd_logf(fpmd_level level, const char *format, ...)
{
    char text[OWN_MESSAGE_MAX];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0) {
        size_t limit = fpmd_sapi.log_limit < OWN_MESSAGE_MAX ? fpmd_sapi.log_limit : OWN_MESSAGE_MAX;
        deliver(level, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1, limit);
    }
}

void fpmd_php_notice(const char *text)
{
    fpmd_logf(FPMD_NOTICE, "%s", text);
}

void fpmd_log_php(const char *message, int syslog_level)
{
    static const char prefix[] = "PHP message: ";
    const size_t prefix_length = sizeof prefix - 1;
    size_t length = strlen(message), limit = fpmd_sapi.log_limit;
    char *text;

    (void)syslog_level;
    /* Only what can be shown is copied; one byte more tells deliver() that there was more. */
    if (length > limit) {
        length = limit;
    }
    text = malloc(prefix_length + length + 1);      /* not PHP's memory: its limit may be what we report */
    if (!text) {
        return;
    }
    memcpy(text, prefix, prefix_length);
    memcpy(text + prefix_length, message, length);
    deliver(fpmd_sapi.hides_notices ? FPMD_UNLABELLED : FPMD_NOTICE, text, prefix_length + length, limit);
    free(text);
}

/* The response header block. */
#include "sapi.h"

#include <strings.h>

/* The status line is cut here, its line end not counted. */
#define STATUS_LINE_MAX 1023

static bool append_line(const char *bytes, size_t length)
{
    return fpmd_output_append(bytes, length) && fpmd_output_append("\r\n", 2);
}

static bool has_name(const sapi_header_struct *header, const char *name, size_t length)
{
    return header->header_len > length && strncasecmp(header->header, name, length) == 0;
}

static bool script_sent_status(const sapi_headers_struct *headers)
{
    zend_llist_position position;
    zend_llist *list = (zend_llist *)&headers->headers;

    for (sapi_header_struct *header = zend_llist_get_first_ex(list, &position); header;
         header = zend_llist_get_next_ex(list, &position)) {
        if (has_name(header, ZEND_STRL("Status:"))) {
            return true;
        }
    }
    return false;
}

static const char *reason(int code)
{
    for (const http_response_status_code_pair *pair = http_status_map; pair->code != 0; pair++) {
        if (pair->code == code) {
            return pair->str;
        }
    }
    return NULL;
}

/* Writes the status line into `line` unless the script's own Status header is to be used (then 0).
   `code` becomes the status that the client will see. */
static size_t status_line(const sapi_headers_struct *headers, char line[STATUS_LINE_MAX + 1], int *code)
{
    const char *given = headers->http_status_line, *blank, *text;
    int length;

    if (given && fpmd_settings_globals.rfc2616_headers) {
        length = snprintf(line, STATUS_LINE_MAX + 1, "%s", given);
    } else if (given && strncasecmp(given, "HTTP/", 5) == 0 && (blank = strchr(given, ' '))) {
        length = snprintf(line, STATUS_LINE_MAX + 1, "Status:%s", blank);
        *code = atoi(blank + 1);
    } else if (script_sent_status(headers)) {
        return 0;
    } else if ((text = reason(*code))) {
        length = snprintf(line, STATUS_LINE_MAX + 1, "Status: %d %s", *code, text);
    } else {
        length = snprintf(line, STATUS_LINE_MAX + 1, "Status: %d", *code);
    }
    return length > STATUS_LINE_MAX ? STATUS_LINE_MAX : (size_t)length;
}

static bool append_headers(sapi_headers_struct *headers)
{
    char line[STATUS_LINE_MAX + 1];
    int code = SG(sapi_headers).http_response_code;
    bool status_done = false;
    zend_llist_position position;

    if (code != 200 || fpmd_settings_globals.nph) {
        size_t length = status_line(headers, line, &code);
        if (length > 0) {
            status_done = true;
            if (!append_line(line, length)) {
                return false;
            }
        }
    }
    for (sapi_header_struct *header = zend_llist_get_first_ex(&headers->headers, &position); header;
         header = zend_llist_get_next_ex(&headers->headers, &position)) {
        if (header->header_len == 0) {
            continue;       /* an empty line would end the block */
        }
        if (has_name(header, ZEND_STRL("Status:"))) {
            if (status_done) {
                continue;
            }
            status_done = true;
        } else if (code == 304 && has_name(header, ZEND_STRL("Content-Type:"))) {
            continue;
        }
        if (!append_line(header->header, header->header_len)) {
            return false;
        }
    }
    return fpmd_output_append("\r\n", 2);
}

int fpmd_send_headers(sapi_headers_struct *headers)
{
    if (SG(request_info).no_headers || !fpmd_sapi.request) {
        return SAPI_HEADER_SENT_SUCCESSFULLY;
    }
    if (!append_headers(headers)) {
        php_handle_aborted_connection();
    }
    return SAPI_HEADER_SENT_SUCCESSFULLY;
}

const char *fpmd_php_response_header(const char *name, size_t name_length, size_t *value_length)
{
    zend_llist_position position;

    for (sapi_header_struct *header = zend_llist_get_first_ex(&SG(sapi_headers).headers, &position); header;
         header = zend_llist_get_next_ex(&SG(sapi_headers).headers, &position)) {
        if (header->header_len > name_length + 2 && memcmp(header->header, name, name_length) == 0
            && memcmp(header->header + name_length, ": ", 2) == 0) {
            *value_length = header->header_len - name_length - 2;
            return header->header + name_length + 2;
        }
    }
    return NULL;
}

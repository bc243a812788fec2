/* A host for Sources/CPHP without a daemon: requests from tables, answers into memory. */
#ifndef HARNESS_H
#define HARNESS_H

#include "../../Sources/CPHP/include/cphp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pieces of so many bytes are sent from where PHP has them. */
enum { WHOLE = 65528 };

/* How the client of the next request behaves. Reset by each request. */
typedef struct client {
    const char *body;               /* request body, body_length bytes */
    size_t body_length;
    size_t gone_after;              /* drain fails once so many bytes were sent; 0: never */
    bool keep;                      /* the connection stays open after END_REQUEST */
    bool no_script_parameter, no_script, no_method;
    const char *request_uri;
    const fpmd_page *page;
} client;

/* What the last request left. Strings are NUL-terminated and live until the next one. */
typedef struct answer {
    char *out;                      /* headers and body */
    size_t out_length;
    size_t out_at_finish;           /* length when fastcgi_finish_request() sent it */
    char *err;                      /* FCGI_STDERR, messages joined by "; " */
    char *log;                      /* "LEVEL: message" lines */
    const char *body;               /* in `out` behind the blank line */
    size_t whole_bytes;             /* sent without being copied into `output` */
    int response_code;              /* as given to executed() */
    int executing, executed, ended, completed, flushes;
    size_t memory_peak;
    char user[64], content_type[128];
    fpmd_outcome outcome;
} answer;

extern client next;
extern answer last;
extern char fixtures[];             /* temporary folder; the requests' DOCUMENT_ROOT */

/* Starts PHP for a worker; `defines` as "name=value", NULL-terminated. */
void harness_start(const char *const *defines);
/* Runs FOLDER/script with the usual parameters of a web server and "NAME=VALUE" arguments on top (an empty
   name "=NAME" removes one); the list ends with NULL. */
answer *request(const char *script, ...);
answer *request_array(const char *script, const char *const *parameters);
/* Writes fixtures/name, making its folders. */
void fixture(const char *name, const char *text);
void remove_fixtures(void);

void run_tests(void);
extern int failures;

#endif

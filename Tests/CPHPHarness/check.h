/* Checks: each failure is printed with what the request left, and counted. */
#ifndef CHECK_H
#define CHECK_H

#include "harness.h"

#define CHECK(condition) check(condition, __FILE__, __LINE__, #condition)
#define BODY_IS(text) check_text(last.body, text, __FILE__, __LINE__)
#define OUT_IS(text) check_text(last.out, text, __FILE__, __LINE__)
#define ERR_IS(text) check_text(last.err, text, __FILE__, __LINE__)
#define BODY_HAS(text) check_has(last.body, text, __FILE__, __LINE__)
#define ERR_HAS(text) check_has(last.err, text, __FILE__, __LINE__)

static inline void report(const char *file, int line, const char *what)
{
    failures++;
    fprintf(stderr, "%s:%d: %s\n  out: %.600s\n  err: %.300s\n", file, line, what, last.out ? last.out : "",
            last.err ? last.err : "");
}

static inline void check(bool good, const char *file, int line, const char *what)
{
    if (!good) {
        report(file, line, what);
    }
}

static inline void check_text(const char *have, const char *want, const char *file, int line)
{
    if (strcmp(have, want) != 0) {
        report(file, line, want);
    }
}

static inline void check_has(const char *have, const char *want, const char *file, int line)
{
    if (!strstr(have, want)) {
        report(file, line, want);
    }
}

void test_responses(void);
void test_requests(void);
void test_settings(void);
void test_life(void);
void test_opcache(void);
void test_extensions(void);
void test_preloading(void);

#endif

/* Fixed-size texts of the status structures. */
#include "cphp.h"
#include <string.h>

static void set_text(char *field, size_t size, const char *text, size_t length) {
    size_t count = text ? (length < size - 1 ? length : size - 1) : 0;
    if (count) memcpy(field, text, count);
    field[count] = 0;
}

void fpmd_name_pool(fpmd_pool_status *pool, const char *name, size_t name_length, const char *manager,
                    size_t manager_length) {
    set_text(pool->name, sizeof pool->name, name, name_length);
    set_text(pool->process_manager, sizeof pool->process_manager, manager, manager_length);
}

void fpmd_describe_process(fpmd_process_status *process, const char *method, const char *uri, const char *query,
                           const char *user, const char *script) {
    set_text(process->method, sizeof process->method, method, strlen(method));
    set_text(process->uri, sizeof process->uri, uri, strlen(uri));
    set_text(process->query, sizeof process->query, query, strlen(query));
    set_text(process->user, sizeof process->user, user, strlen(user));
    set_text(process->script, sizeof process->script, script, strlen(script));
}

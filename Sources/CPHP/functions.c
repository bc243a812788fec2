/* The functions that scripts find under this SAPI. */
#include "sapi.h"

static PHP_FUNCTION(fastcgi_finish_request)
{
    ZEND_PARSE_PARAMETERS_NONE();

    if (!fpmd_sapi.request) {
        RETURN_FALSE;
    }
    if (!fpmd_sapi.finished) {
        php_output_end_all();
        php_header();
        fpmd_sapi.finished = true;
    }
    RETURN_BOOL(fpmd_sapi.host.finish(fpmd_sapi.host.context));
}

static PHP_FUNCTION(apache_request_headers)
{
    const fpmd_request *request = fpmd_sapi.request;

    ZEND_PARSE_PARAMETERS_NONE();

    array_init(return_value);
    for (size_t i = request ? request->parameter_count : 0; i > 0; i--) {
        const fpmd_parameter *parameter = &request->parameters[i - 1];
        sapi_add_request_header(parameter->name, parameter->name_length, (char *)parameter->value,
                                (unsigned int)strlen(parameter->value), return_value);
    }
}

/* ---- fpm_get_status ------------------------------------------------------------------------------ */

static void add_text(zval *array, const char *key, const char *value)
{
    add_assoc_string(array, key, *value ? (char *)value : "-");
}

static void add_process(zval *list, const fpmd_process_status *process)
{
    zval entry;

    array_init(&entry);
    add_assoc_long(&entry, "pid", process->pid);
    add_assoc_string(&entry, "state", process->state);
    add_assoc_long(&entry, "start-time", process->start_time);
    add_assoc_long(&entry, "start-since", process->start_since);
    add_assoc_long(&entry, "requests", process->requests);
    add_assoc_long(&entry, "request-duration", process->request_duration_us);
    add_text(&entry, "request-method", process->method);
    add_assoc_string(&entry, "request-uri", process->uri);
    add_assoc_string(&entry, "query-string", process->query);
    add_assoc_long(&entry, "request-length", process->content_length);
    add_text(&entry, "user", process->user);
    add_text(&entry, "script", process->script);
    add_assoc_double(&entry, "last-request-cpu", process->last_request_cpu);
    add_assoc_long(&entry, "last-request-memory", process->last_request_memory);
    add_next_index_zval(list, &entry);
}

static void add_pool(zval *array, const fpmd_pool_status *pool)
{
    add_assoc_string(array, "pool", pool->name);
    add_assoc_string(array, "process-manager", pool->process_manager);
    add_assoc_long(array, "start-time", pool->start_time);
    add_assoc_long(array, "start-since", pool->start_since);
    add_assoc_long(array, "accepted-conn", pool->accepted_conn);
    add_assoc_long(array, "listen-queue", pool->listen_queue);
    add_assoc_long(array, "max-listen-queue", pool->max_listen_queue);
    add_assoc_long(array, "listen-queue-len", pool->listen_queue_len);
    add_assoc_long(array, "idle-processes", pool->idle_processes);
    add_assoc_long(array, "active-processes", pool->active_processes);
    add_assoc_long(array, "total-processes", pool->total_processes);
    add_assoc_long(array, "max-active-processes", pool->max_active_processes);
    add_assoc_long(array, "max-children-reached", pool->max_children_reached);
    add_assoc_long(array, "slow-requests", pool->slow_requests);
}

static PHP_FUNCTION(fpm_get_status)
{
    const fpmd_host *host = &fpmd_sapi.host;
    fpmd_pool_status pool = { 0 };
    fpmd_process_status *processes;
    zval list;
    ssize_t count;
    size_t capacity;

    ZEND_PARSE_PARAMETERS_NONE();

    count = fpmd_sapi.request ? host->status(host->context, &pool, NULL, 0) : -1;
    if (count < 0) {
        RETURN_FALSE;
    }
    capacity = (size_t)count;
    processes = safe_emalloc(capacity, sizeof *processes, sizeof *processes);
    count = host->status(host->context, &pool, processes, capacity);
    if (count < 0) {
        efree(processes);
        RETURN_FALSE;
    }
    array_init(return_value);
    add_pool(return_value, &pool);
    array_init(&list);
    for (size_t i = 0; i < capacity && i < (size_t)count; i++) {
        add_process(&list, &processes[i]);
    }
    add_assoc_zval(return_value, "procs", &list);
    efree(processes);
}

/* ---- registration -------------------------------------------------------------------------------- */

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_returns_bool, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_returns_array, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_MASK_EX(arginfo_returns_array_or_false, 0, 0, MAY_BE_ARRAY | MAY_BE_FALSE)
ZEND_END_ARG_INFO()

const zend_function_entry fpmd_functions[] = {
    PHP_FE(fastcgi_finish_request, arginfo_returns_bool)
    PHP_FE(apache_request_headers, arginfo_returns_array)
    PHP_FALIAS(getallheaders, apache_request_headers, arginfo_returns_array)
    PHP_FE(fpm_get_status, arginfo_returns_array_or_false)
    PHP_FE_END
};

/* One request, from PHP's start-up to its shutdown. */
#include "sapi.h"

static void describe(const fpmd_request *request)
{
    sapi_request_info *info = &SG(request_info);

    SG(server_context) = &fpmd_sapi;
    SG(sapi_headers).http_response_code = 200;
    info->request_method = request->method;
    info->query_string = (char *)request->query_string;
    info->request_uri = (char *)request->request_uri;
    info->content_type = request->content_type;
    if (!request->content_type && request->has_script_parameter) {
        info->content_type = "";
    }
    info->content_length = request->content_length;
    /* PHP frees it when it cannot open the script. */
    info->path_translated = request->script ? estrdup(request->script) : NULL;
    info->auth_user = info->auth_password = info->auth_digest = NULL;
    if (request->has_script_parameter) {
        php_handle_auth_data(request->authorization);
    }
}

static void answer_page(const fpmd_page *page)
{
    fpmd_sapi.host.executing(fpmd_sapi.host.context);
    for (size_t i = 0; i < sizeof page->headers / sizeof page->headers[0] && page->headers[i]; i++) {
        sapi_add_header_ex(page->headers[i], strlen(page->headers[i]), true, true);
    }
    if (page->status) {
        SG(sapi_headers).http_response_code = page->status;
    }
    PHPWRITE(page->body, page->body_length);
}

static void answer(const fpmd_request *request)
{
    if (fpmd_sapi.extended_info) {
        CG(compiler_options) |= ZEND_COMPILE_EXTENDED_INFO;
    }
    EG(exit_status) = 0;
    if (!request->method) {
        if (request->has_script_parameter && !request->script) {
            SG(sapi_headers).http_response_code = 404;
        }
        return;
    }
    if (request->page) {
        answer_page(request->page);
    } else {
        fpmd_script_answer(request);
    }
}

/* fastcgi.error_header replaces the status of a script that ended with a fatal error. */
static void apply_error_header(void)
{
    const char *line = fpmd_settings_globals.error_header;
    sapi_header_line header = { 0 };

    if (EG(exit_status) == 255 && line && *line && !SG(headers_sent)) {
        header.line = line;
        header.line_len = strlen(line);
        sapi_header_op(SAPI_HEADER_REPLACE, &header);
    }
}

static void begin(const fpmd_request *request)
{
    fpmd_sapi.request = request;
    fpmd_sapi.body_file = FPMD_BODY_UNDECIDED;
    fpmd_sapi.finished = false;
    fpmd_sapi.aborted = false;
    fpmd_sapi.retire = false;
}

static void end(void)
{
    fpmd_body_close();
    fpmd_timer_request_end();
    fpmd_sapi.request = NULL;
    SG(server_context) = NULL;
    SG(request_info).request_method = NULL;
    SG(request_info).query_string = NULL;
    SG(request_info).request_uri = NULL;
    SG(request_info).content_type = NULL;
    SG(request_info).path_translated = NULL;
    SG(request_info).auth_user = SG(request_info).auth_password = SG(request_info).auth_digest = NULL;
}

static void finish_script(void)
{
    apply_error_header();
    fpmd_sapi.host.executed(fpmd_sapi.host.context, SG(sapi_headers).http_response_code,
                            zend_memory_peak_usage(1));
    if (SG(request_info).path_translated) {
        efree(SG(request_info).path_translated);
        SG(request_info).path_translated = NULL;
    }
}

/* PHP has no request yet in which it could say so itself. */
static void answer_refused_settings(void)
{
    static const char answer[] = "Status: 500 Internal Server Error\r\nContent-type: text/html; charset=UTF-8\r\n\r\n";

    SG(sapi_headers).http_response_code = 500;
    SG(headers_sent) = 1;
    fpmd_output_append(answer, sizeof answer - 1);
}

fpmd_outcome fpmd_php_handle(const fpmd_request *request)
{
    volatile bool is_set = false, started = false;

    begin(request);
    zend_first_try {
        describe(request);
        fpmd_apply_request_settings();
        is_set = true;
        started = php_request_startup() == SUCCESS;
    } zend_end_try();
#ifdef ZEND_SIGNALS
    /* PHP has installed its signal handlers; it need not look at each of them on every request. */
    SIGG(reset) = 0;
#endif
    if (started) {
        zend_first_try {
            answer(request);
        } zend_end_try();
    } else if (!is_set) {
        answer_refused_settings();
    }
    zend_first_try {
        finish_script();
    } zend_end_try();
    if (is_set) {
        zend_first_try {
            php_request_shutdown(NULL);
        } zend_end_try();
    }
    end();
    return !started ? FPMD_WORKER_LOST : fpmd_sapi.retire ? FPMD_RETIRE : FPMD_DONE;
}

const char *fpmd_php_auth_user(void)
{
    return SG(request_info).auth_user;
}

/* FastCGI parameters as $_SERVER, $_ENV and getenv(). */
#include "sapi.h"

static void (*import_process_environment)(zval *array);

const fpmd_parameter *fpmd_parameter_find(const char *name, size_t length)
{
    const fpmd_request *request = fpmd_sapi.request;

    for (size_t i = 0; request && i < request->parameter_count; i++) {
        const fpmd_parameter *parameter = &request->parameters[i];
        if (parameter->name_length == length && memcmp(parameter->name, name, length) == 0) {
            return parameter;
        }
    }
    return NULL;
}

/* A request header "Proxy" must not pass for the environment variable that HTTP clients obey (httpoxy). Its name is in
   capitals as every header's: http_proxy comes from the web server's configuration. */
static bool is_hidden(const fpmd_parameter *parameter)
{
    return parameter->name_length == 10 && memcmp(parameter->name, "HTTP_PROXY", 10) == 0;
}

char *fpmd_getenv(const char *name, size_t length)
{
    const fpmd_parameter *parameter = fpmd_parameter_find(name, length);
    return parameter && !is_hidden(parameter) ? (char *)parameter->value : NULL;
}

char *fpmd_read_cookies(void)
{
    return fpmd_sapi.request ? (char *)fpmd_sapi.request->cookies : NULL;
}

/* Values end at their first NUL, wherever their length says. */
static void register_parameter(const fpmd_parameter *parameter, int filter, zval *array)
{
    char *value = (char *)parameter->value;
    size_t length = strlen(value);

    if (is_hidden(parameter)) {
        return;
    }
    if (filter < 0 || sapi_module.input_filter(filter, (char *)parameter->name, &value, length, &length)) {
        php_register_variable_safe((char *)parameter->name, value, length, array);
    }
}

/* The latest parameter comes first: the order php-fpm's users see. */
static void register_parameters(int filter, zval *array)
{
    const fpmd_request *request = fpmd_sapi.request;

    for (size_t i = request ? request->parameter_count : 0; i > 0; i--) {
        register_parameter(&request->parameters[i - 1], filter, array);
    }
}

static bool copy_existing(int track, zval *array)
{
    zval *other = &PG(http_globals)[track];

    if (Z_TYPE_P(other) != IS_ARRAY || Z_ARR_P(other) == Z_ARR_P(array)
        || zend_hash_num_elements(Z_ARRVAL_P(other)) == 0) {
        return false;
    }
    zend_array_destroy(Z_ARR_P(array));
    ZVAL_ARR(array, zend_array_dup(Z_ARR_P(other)));
    return true;
}

/* $_ENV, and the first part of $_SERVER. */
static void import_environment(zval *array)
{
    bool for_env = Z_TYPE(PG(http_globals)[TRACK_VARS_ENV]) == IS_ARRAY
        && Z_ARR_P(array) == Z_ARR(PG(http_globals)[TRACK_VARS_ENV]);

    if (copy_existing(TRACK_VARS_ENV, array) || copy_existing(TRACK_VARS_SERVER, array)) {
        return;
    }
    import_process_environment(array);
    register_parameters(for_env ? PARSE_ENV : PARSE_SERVER, array);
}

/* getenv() without a name: past the input filter, and never what the script made of $_ENV or $_SERVER. PHP's own
   loader would come back to import_environment(). */
static void load_environment(zval *array)
{
    import_process_environment(array);
    register_parameters(-1, array);
}

void fpmd_variables_startup(void)
{
    if (php_import_environment_variables != import_environment) {
        import_process_environment = php_import_environment_variables;
        php_import_environment_variables = import_environment;
        php_load_environment_variables = load_environment;
    }
}

static void register_php_self(zval *array)
{
    const char *uri = SG(request_info).request_uri ? SG(request_info).request_uri : "";
    const char *path_info = fpmd_settings_globals.fix_pathinfo ? fpmd_getenv(ZEND_STRL("PATH_INFO")) : NULL;
    size_t uri_length = strlen(uri), info_length = path_info ? strlen(path_info) : 0, length;
    char *self = safe_emalloc(1, uri_length + info_length, 1), *value = self;

    memcpy(self, uri, uri_length);
    memcpy(self + uri_length, path_info ? path_info : "", info_length);
    self[uri_length + info_length] = '\0';
    if (sapi_module.input_filter(PARSE_SERVER, "PHP_SELF", &value, uri_length + info_length, &length)) {
        php_register_variable_safe("PHP_SELF", value, length, array);
    }
    efree(self);
}

void fpmd_register_variables(zval *track_vars_array)
{
    php_import_environment_variables(track_vars_array);
    register_php_self(track_vars_array);
}

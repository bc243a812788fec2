/* Which extensions there are: leaving out what php-fpm never has, and loading one into a running process. */
#include "sapi.h"

/* Built into the library for command-line use, absent from php-fpm: a web worker's signals and children are
   not the script's. */
static const char *const left_out[] = { "pcntl" };

static int (*register_builtin)(void);

/* Between registration and module start-up: the module never runs any code. */
static void leave_out(const char *name)
{
    zend_module_entry *module = zend_hash_str_find_ptr(&module_registry, name, strlen(name)), *later;
    int number;

    if (!module) {
        return;
    }
    number = module->module_number;
    if (module->functions) {
        zend_unregister_functions(module->functions, -1, NULL);
    }
    zend_hash_str_del(&module_registry, name, strlen(name));
    /* PHP counts modules to number the next one, which would share its number with the last one here otherwise, and with
       that its constants and settings. */
    ZEND_HASH_FOREACH_PTR(&module_registry, later) {
        if (later->module_number > number) {
            later->module_number--;
        }
    } ZEND_HASH_FOREACH_END();
}

/* The PHP in this process is the kind whose headers this was compiled with. */
static bool is_expected_build(void)
{
    const zend_module_entry *module = zend_hash_str_find_ptr(&module_registry, ZEND_STRL("standard"));

    if (module && module->zend_api == ZEND_MODULE_API_NO && strcmp(module->build_id, ZEND_MODULE_BUILD_ID) == 0) {
        return true;
    }
    fprintf(stderr, "fpmd: compiled for PHP's build \"%s\", this is \"%s\"\n", ZEND_MODULE_BUILD_ID,
            module ? module->build_id : "unknown");
    return false;
}

static int register_as_fpm(void)
{
    int result = register_builtin();

    if (result == SUCCESS && !is_expected_build()) {
        return FAILURE;
    }
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        leave_out(left_out[i]);
    }
    /* Likewise: a worker's root directory is not the script's. */
    zend_hash_str_del(CG(function_table), ZEND_STRL("chroot"));
    return result;
}

void fpmd_extensions_startup(void)
{
    if (php_register_internal_extensions_func != register_as_fpm) {
        register_builtin = php_register_internal_extensions_func;
        php_register_internal_extensions_func = register_as_fpm;
    }
}

void fpmd_extension_load(const char *name)
{
    uint32_t before = zend_hash_num_elements(&module_registry);
    HashPosition last;

    zend_interned_strings_switch_storage(0);
    if (php_load_extension(name, MODULE_PERSISTENT, 0) == SUCCESS
        && zend_hash_num_elements(&module_registry) > before) {
        zend_hash_internal_pointer_end_ex(&module_registry, &last);
        if (zend_startup_module_ex(zend_hash_get_current_data_ptr_ex(&module_registry, &last)) == SUCCESS) {
            zend_collect_module_handlers();
        }
    }
    zend_interned_strings_switch_storage(1);
    /* What stands in the tables up to here survives the end of each request. Before the first request only the
       compiler has them. */
    EG(persistent_constants_count) = EG(zend_constants)->nNumUsed;
    EG(persistent_functions_count) = CG(function_table)->nNumUsed;
    EG(persistent_classes_count) = CG(class_table)->nNumUsed;
}

/* File questions of script resolution, answered from PHP's realpath cache where it applies. */
#include "sapi.h"

bool fpmd_php_path_exists(const char *path)
{
    char resolved[MAXPATHLEN];
    volatile bool exists = false;

    zend_first_try {
        exists = tsrm_realpath(path, resolved) != NULL;
    } zend_end_try();
    return exists;
}

bool fpmd_php_is_regular_file(const char *path)
{
    zend_stat_t status;
    return VCWD_STAT(path, &status) == 0 && S_ISREG(status.st_mode);
}

#include "cphp.h"
#include "php_headers.h"
const char *fpmd_php_doc_root(void) { return PG(doc_root); }

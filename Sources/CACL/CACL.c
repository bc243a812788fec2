#include "cacl.h"
#if !__has_include(<sys/acl.h>)
#error "libacl's headers are missing: apt-get install libacl1-dev"
#endif
#include <errno.h>
#include <acl/libacl.h>
#include <sys/acl.h>

static int add_entry(acl_t *acl, acl_tag_t tag, const void *qualifier) {
    acl_entry_t entry;
    acl_permset_t permissions;
    if (acl_create_entry(acl, &entry) < 0 || acl_set_tag_type(entry, tag) < 0 ||
        acl_set_qualifier(entry, qualifier) < 0 || acl_get_permset(entry, &permissions) < 0 ||
        acl_clear_perms(permissions) < 0 || acl_add_perm(permissions, ACL_READ) < 0 ||
        acl_add_perm(permissions, ACL_WRITE) < 0)
        return -1;
    return 0;
}

int cacl_allow(const char *path, const uid_t *users, size_t user_count, const gid_t *groups, size_t group_count,
               const char **step) {
    int result = -1, saved;
    *step = "read";
    acl_t acl = acl_get_file(path, ACL_TYPE_ACCESS);
    if (!acl) return -1;
    *step = "add entry to";
    for (size_t i = 0; i < user_count; i++)
        if (add_entry(&acl, ACL_USER, &users[i]) < 0) goto out;
    for (size_t i = 0; i < group_count; i++)
        if (add_entry(&acl, ACL_GROUP, &groups[i]) < 0) goto out;
    *step = "write";
    if (acl_calc_mask(&acl) < 0 || acl_valid(acl) < 0 || acl_set_file(path, ACL_TYPE_ACCESS, acl) < 0) goto out;
    result = 0;
out:
    saved = errno;
    acl_free(acl);
    errno = saved;
    return result;
}

int cacl_replace(const char *path, mode_t mode, const uid_t *users, size_t user_count, const gid_t *groups,
                 size_t group_count, const char **step) {
    *step = "write";
    acl_t plain = acl_from_mode(mode);
    if (!plain) return -1;
    int result = acl_set_file(path, ACL_TYPE_ACCESS, plain), saved = errno;
    acl_free(plain);
    errno = saved;
    if (result < 0 || user_count + group_count == 0) return result;
    return cacl_allow(path, users, user_count, groups, group_count, step);
}

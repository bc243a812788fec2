/* CACL - acl(5) entries on a listening socket; libacl's headers are not modular. */
#ifndef CACL_H
#define CACL_H

#include <stddef.h>
#include <sys/types.h>

/* Adds read and write for the users and groups to the file's ACL and recalculates its mask.
   0, or -1 with errno and *step naming the operation ("read", "add entry to", "write"). */
int cacl_allow(const char *_Nonnull path, const uid_t *_Nullable users, size_t user_count,
               const gid_t *_Nullable groups, size_t group_count, const char *_Nullable *_Nonnull step);

/* Replaces the file's ACL by what its mode says, and adds read and write for the users and groups as above. */
int cacl_replace(const char *_Nonnull path, mode_t mode, const uid_t *_Nullable users, size_t user_count,
                 const gid_t *_Nullable groups, size_t group_count, const char *_Nullable *_Nonnull step);

#endif

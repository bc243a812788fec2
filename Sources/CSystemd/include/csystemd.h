/* CSystemd - datagrams to systemd: sd_notify(3) and the journal's native protocol, neither of which may ever wait.
 * libsystemd's calls wait when the receiver is stopped; the messages are those of its documentation. Importer gap:
 * control messages (CMSG_*). */
#ifndef CSYSTEMD_H
#define CSYSTEMD_H

#include <stddef.h>

/* A datagram socket that never waits, close-on-exec, with as large a send buffer as it may have: or -1 and errno. */
int csystemd_socket(void);
/* The same, connected to the socket at `path`: for a process that cannot see the path any more. */
int csystemd_connect(const char *_Nonnull path);
/* Connects a socket anew whose other end has gone, for all processes that share it: 0, or -1 and errno. */
int csystemd_reconnect(int socket, const char *_Nonnull path);
/* Sends one datagram with up to 1 descriptor (-1: none). `path`: absolute, or abstract with a leading '@'; NULL for
 * where the socket is connected to. 0, or -1 and errno: EAGAIN when the receiver does not read. */
int csystemd_send(int socket, const char *_Nullable path, const void *_Nonnull bytes, size_t count, int descriptor);
/* Whether descriptor `number` is the socket that JOURNAL_STREAM ("DEVICE:INODE") names. */
int csystemd_is_journal_stream(int number, const char *_Nonnull stream);

#endif

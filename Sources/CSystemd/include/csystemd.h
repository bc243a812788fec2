/* CSystemd - sd_notify(3): systemd's headers are not modular and its formatted calls are variadic. */
#ifndef CSYSTEMD_H
#define CSYSTEMD_H

/* Sends `state` ("READY=1\nSTATUS=…") to NOTIFY_SOCKET: 1 sent, 0 no such socket, negative errno. */
int csystemd_notify(const char *_Nonnull state);
/* sd_booted(3). */
int csystemd_booted(void);

#endif

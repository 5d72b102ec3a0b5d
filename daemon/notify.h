/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/*
 * What we tell and take from the service manager (sd_notify(3),
 * sd_listen_fds(3)).  Without libsystemd, or outside of it, all of this does nothing.
 */

/*
 * Sockets that systemd passed: listening Unix stream sockets, CLOEXEC and
 * non-blocking.  Returns how many, or negative errno (something else was
 * passed).
 */
int notify_listen_fds(int *ret_fds, int max);
void notify_ready(const char *status);
void notify_reloading(void);
/*
 * From here on the manager counts the time to our end; ask for as much as
 * conf->stop_timeout_us takes.  Harmless twice.
 */
void notify_stopping(void);
void notify_status(const char *status);
/* Feed the watchdog from the loop from now on, if one is asked for. */
void notify_watchdog_start(void);

#endif

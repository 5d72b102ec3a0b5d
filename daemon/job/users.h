/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_USERS_H
#define DAEMON_JOB_USERS_H

#include <sys/types.h>

/*
 * uid -> user name, cached.  Looking a name up may take seconds (LDAP), so it
 * is done by a helper thread.
 */

/*
 * The name of @uid, or NULL if it has none or is not known yet (a look-up is then under
 * way). Borrowed for ever.
 */
const char *users_name(uid_t uid);
/* done(arg) when the name is known (or known not to exist); at once if it already is. */
void users_look_up(uid_t uid, void (*done)(void *arg), void *arg);
void users_fini(void);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_ADMINS_H
#define DAEMON_RPC_ADMINS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Who is an administrator: the members of conf->admin_group, in the system
 * instance.  The group's name is looked up by a helper thread (LDAP may take
 * seconds) and believed for admin_refresh; the members are what the kernel says of
 * the peer, not what the group's entry lists.
 */

/*
 * done(arg) when the group's id is known, or known not to exist; at once if it already is.
 * An answer that is old is used, while it is looked up again.
 */
void admins_look_up(void (*done)(void *arg), void *arg);
/* Is the peer at @fd, with primary group @gid, one of them?  After admins_look_up() only. */
bool admins_has_peer(int fd, gid_t gid);
/* The configuration has changed: look the group up again. */
void admins_forget(void);
void admins_fini(void);

#endif

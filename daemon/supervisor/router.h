/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_ROUTER_H
#define DAEMON_SUPERVISOR_ROUTER_H

/*
 * The supervisor's own loop: it forks a minder for each attempt, passes
 * messages between the daemon (@fd, a stream socket) and the minders, and
 * cleans up after a minder that was killed.  Returns the exit status when the
 * daemon's end has closed and every tree is gone.
 */
int router_run(int fd);

#endif

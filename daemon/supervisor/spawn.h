/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_SPAWN_H
#define DAEMON_SUPERVISOR_SPAWN_H

#include "daemon/supervisor/msg.h"

#include <sys/types.h>

/* A worker that has been started; the ends of its pipes are ours and non-blocking. */
struct spawned {
	pid_t pid;
	int stdout_fd, stderr_fd; /* gives */
};

/*
 * Start what @start says as a child of this process, in a session of its own
 * (R3.2, R3.3).  Returns 0 once the program runs (its execve is done), or
 * negative errno with the stage in *ret_stage; nothing is left of it then.
 */
int spawn_worker(const struct msg_start *start, struct spawned *ret, enum msg_stage *ret_stage);

/* Close @first and every descriptor above it. */
void spawn_close_from(unsigned first);

#endif

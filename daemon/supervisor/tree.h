/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_TREE_H
#define DAEMON_SUPERVISOR_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Process trees, as /proc shows them.  A tree is whatever descends from one
 * process that is a subreaper: what double-forks or makes a session of its
 * own is still below it, so nothing in here relies on groups, sessions or
 * environment.  Signals go through pidfds that were checked after opening, so
 * never to a number that has found a new owner.  libc only: the supervisor
 * and the daemon's helper threads use it.
 */
struct tree_stat {
	pid_t ppid, pgrp, session;
	char state;
	uint64_t start_ticks;
};
/* 0, or negative errno (-ESRCH: no such process). */
int tree_read_stat(pid_t pid, struct tree_stat *ret);

struct tree_pids {
	pid_t *pids; /* owns */
	size_t n, size;
};
void tree_pids_fini(struct tree_pids *p);
void tree_pids_add(struct tree_pids *p, pid_t pid);
/* The children of @pid, zombies included.  0 or negative errno. */
int tree_children(pid_t pid, struct tree_pids *ret);

/*
 * Send @signo to everything below @root (not to itself), but not to those in
 * the process group @but_group (0 = none) and not below the children listed
 * in @but (NULL = none).  One pass: what is born meanwhile is met by the next.
 * Returns how many it was sent to; *ret_refused is set to one that we may
 * not signal, if there is any (setuid programs).
 */
size_t tree_signal(pid_t root, int signo, pid_t but_group, const struct tree_pids *but,
		   pid_t *ret_refused);

/* A process by identity, not by number. */
struct tree_identity {
	pid_t pid;
	uint64_t start_ticks;
	int64_t job; /* what its environment says it belongs to */
	uint32_t attempt;
};
/*
 * End what is left of a worker whose supervisor is gone (R3.9): the process
 * @id names, if it still is the same one, its descendants, and those of its
 * session that carry its job and attempt in their environment.  Waits until
 * they are gone, @timeout_ms at most.  Blocks.  Returns how many are left.
 */
size_t tree_end_leftover(const struct tree_identity *id, int timeout_ms);

#endif

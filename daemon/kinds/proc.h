/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_PROC_H
#define DAEMON_KINDS_PROC_H

#include "daemon/base/list.h"
#include "daemon/co/await.h"
#include "daemon/supervisor/msg.h"
#include "proto/err.h"

#include <stdint.h>

/*
 * The daemon's end of the supervisor: programs that run, by (job, attempt).
 * Loop's thread; nothing here yields but co_proc_wait().
 */

enum proc_state {
	PROC_ASKED,   /* the supervisor was asked to start it */
	PROC_RUNNING, /* ->started */
	PROC_FAILED,  /* ->failed: it could not be run */
	PROC_EXITED,  /* ->exited: its whole tree is gone */
	PROC_LOST,    /* the supervisor is gone: what became of it is not known */
};

struct proc {
	int64_t job;
	uint32_t attempt;
	void (*grew)(struct proc *p);	   /* there is more output; may be NULL */
	void (*exited_fn)(struct proc *p); /* its tree is gone; may be NULL */
	enum proc_state state;
	struct msg_started started; /* valid once it has run */
	struct msg_failed failed;
	struct msg_exited exited;
	struct signal_flag changed; /* private: state has moved */
	struct loop_timer ack;	    /* private */
	struct list link;	    /* private */
};

/*
 * Start the supervisor.  To be called before threads and heap exist; it is
 * started again by itself should it die.  0, or -EINVAL with @err.
 */
int proc_init(struct aw_err *err);
/* Close our end, which ends every tree, and wait until the supervisor is gone. */
void proc_fini(void);

/*
 * Ask for a program.  Zero @p and set job, attempt and grew before; it must stay put
 * until proc_forget().  Borrows @start for the call.  0, -E2BIG (argv and env
 * are too long), or another negative errno (no supervisor can be started).
 */
int proc_start(struct proc *p, const struct msg_start *start);
/* End its tree: SIGTERM now, SIGKILL after @grace_us.  Again = sooner, never later. */
void proc_kill(struct proc *p, int64_t grace_us);
/* Wait until ->state is no longer @state.  0 or -ECANCELED. */
MUST_USE int co_proc_wait(struct proc *p, enum proc_state state);
/* No more news of it, please.  Harmless twice. */
void proc_forget(struct proc *p);

#endif

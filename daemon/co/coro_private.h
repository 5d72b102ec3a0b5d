/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_CORO_PRIVATE_H
#define DAEMON_CO_CORO_PRIVATE_H

/* What coro.c shares with await.c, and with nobody else. */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/list.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"

struct co_group;
struct stack;

enum coro_state {
	CORO_ASLEEP,  /* never ran, its timer will make it new */
	CORO_NEW,     /* never ran, queued */
	CORO_DROPPED, /* never ran and never will, queued for its end */
	CORO_READY,   /* woken, queued */
	CORO_RUNNING,
	CORO_SUSPENDED,
	CORO_ENDED, /* its function has returned */
	N_CORO_STATES
};

/* A coroutine; beside this and its stack it owns nothing. */
struct coro {
	struct coro *next; /* among the spare ones */
	coro_fn *fn;
	void *arg;
	coro_ended_fn *ended;
	union {
		struct loop_timer start; /* asleep */
		struct {
			void *slot; /* of switch.h */
			struct stack *stack;
		};
	};
	struct co_group *group; /* borrows; the parent's, or NULL */
	struct list siblings;	/* in group->members */
	struct mono bound;	/* the earliest co_deadline around the running wait */
	int result;		/* of the wait, when ready */
	uint32_t n_children;	/* members of the groups it owns */
	uint16_t n_shields;
	unsigned char state; /* enum coro_state */
	unsigned char stack_class;
	bool has_stack : 1;
	bool has_canary : 1;	    /* copied, as the stack's own record is cold */
	bool is_cancelled : 1;	    /* was, once */
	bool is_cancel_pending : 1; /* the next wait delivers it */
	bool is_cancel_queued : 1;  /* ready, and result is the cancel */
};

extern struct coro *coro_running;

/* Wait until @when, which ends it with @result, or an earlier bound, which means -ETIMEDOUT. */
int co_suspend_timed(struct mono when, int result);
/* Wait for a wake and nothing else: deaf to cancels and bounds. */
int co_suspend_deaf(void);

#endif

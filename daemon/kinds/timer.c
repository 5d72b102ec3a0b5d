/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/kind.h"

/*
 * A timer sleeps from its start, in elapsed time with suspend, and hands its
 * value over.  All of the sleeping is done in the calendar: the coroutine
 * runs when there is nothing left to wait for, so a timer that sleeps has no
 * stack.  Its instant follows from started_at, so that a restart changes
 * nothing.
 */
static bool timer_due(struct attempt *a, struct instant *ret)
{
	*ret = instant_add_us(a->started, jobdoc_duration_us(a->doc.spec, "sleep", 0));
	return true;
}

static int co_timer_run(struct attempt *a, const json_t *saved, struct aw_err *err)
{
	json_t *value = json_object_get(a->doc.spec, "value");

	(void)saved, (void)err;
	if (value)
		attempt_set_result(a, json_incref(value));
	return 0;
}

static bool timer_adopt(struct attempt *a, const json_t *saved)
{
	(void)a, (void)saved;
	return true;
}

extern const struct kind kind_timer;
const struct kind kind_timer = {
	.kind = JOB_TIMER,
	.due = timer_due,
	.co_run = co_timer_run,
	.adopt = timer_adopt,
};

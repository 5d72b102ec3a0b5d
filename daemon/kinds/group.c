/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/kind.h"

#include "daemon/job/links.h"

/*
 * Compositions.  What each makes of its parts is a pure function of how many
 * have ended and how; the engine does what follows: lets parts start, tells
 * others to stop, ends the composition when no part lives any more.
 */

struct group {
	bool goes_on;	/* gather: a failure does not end the others */
	size_t n_limit; /* gather: parts that run at once; 0 = all */
};

static void group_begin(struct attempt *a)
{
	struct group *g = a->priv;

	g->goes_on = a->doc.goes_on;
	g->n_limit = a->doc.n_limit;
}

static bool group_adopt(struct attempt *a, const json_t *saved)
{
	(void)a, (void)saved;
	return true;
}

/* All at once, or some at a time; the first failure ends it unless it is to go on. */
static void gather_judge(const struct attempt *a, const struct parts *p, struct verdict *ret)
{
	const struct group *g = a->priv;
	size_t n_free = g->n_limit > p->n_open ? g->n_limit - p->n_open : 0;

	ret->n_turns = g->n_limit ? p->n_turns + n_free : p->n;
	ret->wants_no_more = p->n_failed > 0 && !g->goes_on;
	ret->decided_by = p->first_failed;
	ret->is_success = p->n_failed == 0;
	if (ret->is_success)
		ret->compose = STORE_COMPOSE_LIST;
	else if (g->goes_on)
		ret->compose = STORE_COMPOSE_LIST_AND_ERRORS;
	else
		ret->compose = STORE_COMPOSE_ERRORS;
}

/*
 * One after the other.  A part that ended before its turn (it was cancelled
 * alone) counts when its turn has come.
 */
static void sequence_judge(const struct attempt *a, const struct parts *p, struct verdict *ret)
{
	(void)a;
	ret->is_success = p->n_good == p->n;
	ret->wants_no_more = ret->skips =
		!ret->is_success && p->v[p->n_good].outcome != JOB_UNENDED;
	ret->decided_by = p->n_good;
	ret->n_turns = p->n_good + 1;
	ret->compose = ret->is_success ? STORE_COMPOSE_LAST : STORE_COMPOSE_ERRORS;
}

/* All at once; the first success ends it. */
static void race_judge(const struct attempt *a, const struct parts *p, struct verdict *ret)
{
	(void)a;
	ret->n_turns = p->n;
	ret->is_success = ret->wants_no_more = p->n_succeeded > 0;
	ret->decided_by = p->first_succeeded;
	ret->compose = ret->is_success ? STORE_COMPOSE_WINNER : STORE_COMPOSE_ERRORS;
}

extern const struct kind kind_gather, kind_sequence, kind_race;

const struct kind kind_gather = {
	.kind = JOB_GATHER,
	.private_bytes = sizeof(struct group),
	.adopt = group_adopt,
	.begin = group_begin,
	.judge = gather_judge,
};

const struct kind kind_sequence = {
	.kind = JOB_SEQUENCE,
	.private_bytes = sizeof(struct group),
	.adopt = group_adopt,
	.begin = group_begin,
	.judge = sequence_judge,
};

const struct kind kind_race = {
	.kind = JOB_RACE,
	.private_bytes = sizeof(struct group),
	.adopt = group_adopt,
	.begin = group_begin,
	.judge = race_judge,
};

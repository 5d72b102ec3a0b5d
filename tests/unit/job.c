/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/calendar.h"
#include "daemon/job/job.h"
#include "daemon/job/jobtab.h"
#include "daemon/job/runq.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/suite.h"

/* ---- state tables: every cell ---- */

START_TEST(every_cell_of_state_by_state)
{
	static const char *const allowed[] = {
		"waiting>running", "waiting>done",  "running>stopping", "running>done",
		"running>waiting", "stopping>done", "stopping>waiting",
	};

	for (int from = 0; from < N_JOB_STATES; from++) {
		for (int to = 0; to < N_JOB_STATES; to++) {
			char cell[64];
			bool want = false;

			(void)snprintf(cell, sizeof(cell), "%s>%s",
				       job_state_name((enum job_state)from),
				       job_state_name((enum job_state)to));
			for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
				want |= strcmp(cell, allowed[i]) == 0;
			ck_assert_msg(job_state_may((enum job_state)from, (enum job_state)to) ==
					      want,
				      "%s", cell);
		}
	}
	ck_assert(!job_state_may(N_JOB_STATES, JOB_DONE));
}
END_TEST

START_TEST(every_cell_of_verb_by_state)
{
	for (int s = 0; s < N_JOB_STATES; s++) {
		ck_assert_int_eq(job_verb_may(JOB_VERB_CANCEL, (enum job_state)s), s != JOB_DONE);
		ck_assert_int_eq(job_verb_may(JOB_VERB_EDIT, (enum job_state)s), s == JOB_WAITING);
		ck_assert_int_eq(job_verb_may(JOB_VERB_RETRY, (enum job_state)s), s == JOB_DONE);
		ck_assert_int_eq(job_verb_may(JOB_VERB_REMOVE, (enum job_state)s), s == JOB_DONE);
	}
	ck_assert(!job_verb_may(N_JOB_VERBS, JOB_DONE));
}
END_TEST

/* ---- jobtab against a plain array ---- */

#define N_MODEL 3000

START_TEST(jobtab_is_a_map)
{
	static struct job jobs[N_MODEL];
	static bool in[N_MODEL];
	struct jobtab t = { 0 };
	const char *given = getenv("AWAITD_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	size_t n = 0;

	(void)printf("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < N_MODEL; i++)
		jobs[i].id = i * 3 + 1;
	for (int step = 0; step < 60000; step++) {
		int i = (int)(random() % N_MODEL);

		if (in[i])
			jobtab_remove(&t, &jobs[i]);
		else
			jobtab_add(&t, &jobs[i]);
		n += in[i] ? (size_t)-1 : 1;
		in[i] = !in[i];
		ck_assert_uint_eq(t.n, n);
	}
	for (int i = 0; i < N_MODEL; i++) {
		ck_assert_ptr_eq(jobtab_find(&t, jobs[i].id), in[i] ? &jobs[i] : NULL);
		ck_assert_ptr_null(jobtab_find(&t, jobs[i].id + 1));
	}
	for (size_t at = 0, seen = 0;; seen++) {
		if (!jobtab_next(&t, &at)) {
			ck_assert_uint_eq(seen, n);
			break;
		}
	}
	jobtab_fini(&t);
}
END_TEST

/* ---- calendar ---- */

START_TEST(calendar_has_two_clocks)
{
	struct calendar c = { 0 };
	struct job delay = { .id = 1 }, at = { .id = 2 }, later = { .id = 3 };

	calendar_add(&c, &delay.slot, 1, (struct instant){ { 9000 }, { 100 } });
	calendar_add(&c, &at.slot, 2, (struct instant){ { 5000 }, { 0 } });
	calendar_add(&c, &later.slot, 3, (struct instant){ { 9000 }, { 200 } });
	ck_assert_int_eq(calendar_next(&c).boot.ns, 100);
	ck_assert_int_eq(calendar_next(&c).wall.ms, 5000);
	/* A wall clock that has been set far ahead does not make delays due. */
	ck_assert_ptr_eq(calendar_pop_due(&c, (struct boot){ 99 }, (struct wall){ 99999 }),
			 &at.slot);
	ck_assert_ptr_null(calendar_pop_due(&c, (struct boot){ 99 }, (struct wall){ 99999 }));
	ck_assert_ptr_eq(calendar_pop_due(&c, (struct boot){ 100 }, (struct wall){ 0 }),
			 &delay.slot);
	/* One that is in another heap, or in none, is left alone. */
	calendar_remove(&c, &delay.slot);
	ck_assert_int_eq(calendar_next(&c).boot.ns, 200);
	calendar_remove(&c, &later.slot);
	calendar_remove(&c, &later.slot);
	ck_assert_int_eq(calendar_next(&c).boot.ns, INT64_MAX);
	calendar_fini(&c);
}
END_TEST

/* ---- run queue ---- */

static void ready(struct job *job, struct queue *queue, int64_t id, int priority)
{
	*job = (struct job){ .id = id, .queue = queue, .priority = (int16_t)priority };
	runq_add(job);
}

START_TEST(runq_by_priority_then_submit_order)
{
	struct runq q;
	struct queue *queue;
	struct job jobs[4];
	static const int64_t order[] = { 3, 1, 4, 2 };

	runq_init(&q);
	queue = runq_create(&q, "worker", 10, false);
	ready(&jobs[0], queue, 2, -5);
	ready(&jobs[1], queue, 1, 0);
	ready(&jobs[2], queue, 4, 0);
	ready(&jobs[3], queue, 3, 1000);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(runq_take(&q)->id, order[i]);
	ck_assert_ptr_null(runq_take(&q));
	ck_assert_uint_eq(queue->n_running, 4);
	runq_fini(&q);
}
END_TEST

START_TEST(runq_limit_pause_release)
{
	struct runq q;
	struct queue *queue;
	struct job a, b, free_job;

	runq_init(&q);
	queue = runq_create(&q, "worker", 1, false);
	ready(&a, queue, 1, 0);
	ready(&b, queue, 2, 0);
	ready(&free_job, runq_slotless(&q), 3, 0);
	ck_assert_ptr_eq(runq_find(&q, "worker"), queue);
	ck_assert_ptr_null(runq_find(&q, "other"));
	ck_assert_int_eq(runq_take(&q)->id + runq_take(&q)->id, 4); /* one of each queue */
	ck_assert_ptr_null(runq_take(&q));
	runq_release(&a);
	runq_release(&a);
	ck_assert_uint_eq(queue->n_running, 0);
	queue->is_paused = true;
	ck_assert_ptr_null(runq_take(&q));
	queue->is_paused = false;
	ck_assert_ptr_eq(runq_take(&q), &b);
	ck_assert(b.has_slot);
	runq_fini(&q);
}
END_TEST

START_TEST(runq_takes_turns)
{
	struct runq q;
	struct queue *x, *y;
	struct job jobs[6];
	int64_t ids[6];

	runq_init(&q);
	x = runq_create(&q, "x", 10, false);
	y = runq_create(&q, "y", 10, false);
	for (int i = 0; i < 3; i++) {
		ready(&jobs[i], x, i + 1, 1000);
		ready(&jobs[i + 3], y, i + 4, 0);
	}
	for (int i = 0; i < 6; i++)
		ids[i] = runq_take(&q)->id;
	/* A full queue of high priority does not keep the other queue from starting. */
	ck_assert((ids[0] <= 3) != (ids[1] <= 3));
	ck_assert((ids[2] <= 3) != (ids[3] <= 3));
	runq_fini(&q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("job");
	TCase *tc = tcase_create("job");

	suite_add_tcase(s, tc);
	tcase_add_test(tc, every_cell_of_state_by_state);
	tcase_add_test(tc, every_cell_of_verb_by_state);
	tcase_add_test(tc, jobtab_is_a_map);
	tcase_add_test(tc, calendar_has_two_clocks);
	tcase_add_test(tc, runq_by_priority_then_submit_order);
	tcase_add_test(tc, runq_limit_pause_release);
	tcase_add_test(tc, runq_takes_turns);
	return suite_run(s);
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>

#include "tests/unit/store_fixture.h"

/* What has happened, in order, in pages. */

static struct store_events new_events(int64_t since)
{
	return (struct store_events){
		.since = since, .uid = STORE_ANY_UID, .limit = 100, .max_bytes = 1 << 20
	};
}

/* A page as text: "seq:job:word", "+" for a submission, "!" for the last of its job. */
static const char *text_of(const struct store_events *e)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < e->n && len < sizeof(text); i++) {
		const struct store_event *v = &e->events[i];
		const char *word = v->outcome == JOB_UNENDED ? job_state_name(v->state)
							     : job_outcome_name(v->outcome);

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%lld:%lld:%s%s%s ",
					(long long)v->seq, (long long)v->job.id,
					v->is_submission ? "+" : "", word, v->is_last ? "!" : "");
	}
	return text;
}

static void expect(struct store_events e, const char *text, int64_t next, bool is_at_end)
{
	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	ck_assert_str_eq(text_of(&e), text);
	ck_assert_int_eq(e.next, next);
	ck_assert(e.is_at_end == is_at_end);
	store_events_fini(&e);
}

/* Numbers 1 ... 9: jobs 1 and 2 (a timer of another user), a held job 3. */
static void make_history(void)
{
	struct store_new_job jobs[2] = { fx_job(), fx_job() };
	struct store_update hold = {
		.id = 3, .fields = STORE_HELD, .is_held = true, .at = fx_at(9000).wall
	};

	jobs[1].kind = JOB_TIMER;
	jobs[1].uid = 2000;
	ck_assert_int_eq(fx_insert(jobs, 2), 0);		       /* 1, 2 */
	ck_assert_int_eq(fx_move(1, 0, JOB_WAITING, JOB_RUNNING), 0);  /* 3 */
	ck_assert_int_eq(fx_insert_one(), 3);			       /* 4 */
	ck_assert_int_eq(fx_move(2, 0, JOB_WAITING, JOB_RUNNING), 0);  /* 5 */
	ck_assert_int_eq(fx_move(1, 1, JOB_RUNNING, JOB_STOPPING), 0); /* 6 */
	ck_assert_int_eq(fx_move(1, 1, JOB_STOPPING, JOB_DONE), 0);    /* 7 */
	ck_assert_int_eq(fx_run(&hold.op, STORE_UPDATE), 0);	       /* 8 */
	ck_assert_int_eq(fx_move(2, 1, JOB_RUNNING, JOB_DONE), 0);     /* 9 */
}

static void setup_history(void)
{
	fx_setup();
	make_history();
}

START_TEST(everything_comes_in_order)
{
	expect(new_events(0),
	       "1:1:+waiting 2:2:+waiting 3:1:running 4:3:+waiting 5:2:running 6:1:stopping "
	       "7:1:succeeded! 8:3:waiting! 9:2:succeeded! ",
	       9, true);
	expect(new_events(3),
	       "4:3:+waiting 5:2:running 6:1:stopping 7:1:succeeded! 8:3:waiting! "
	       "9:2:succeeded! ",
	       9, true);
	expect(new_events(8), "9:2:succeeded! ", 9, true);
	expect(new_events(9), "", 9, true);
	fx_restart();
	expect(new_events(7), "8:3:waiting! 9:2:succeeded! ", 9, true);
}
END_TEST

/* A number that this database has not reached: of another one, or from before a backup. */
START_TEST(a_number_from_the_future_is_told)
{
	expect(new_events(1000), "", 9, true);
}
END_TEST

START_TEST(a_submission_is_the_last_as_long_as_nothing_follows)
{
	ck_assert_int_eq(fx_insert_one(), 4);
	expect(new_events(9), "10:4:+waiting! ", 10, true);
}
END_TEST

START_TEST(events_tell_what_happened_and_the_job_what_is)
{
	struct store_events e = new_events(0);
	const struct store_event *v;

	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	v = &e.events[0];
	ck_assert_int_eq(v->time.ms, FX_NOW_MS);
	ck_assert_uint_eq(v->attempt, 0);
	ck_assert_int_eq(v->job.state, JOB_DONE);
	ck_assert_str_eq(v->job.spec, FX_SPEC);
	v = &e.events[2];
	ck_assert_int_eq(v->time.ms, FX_NOW_MS + 1000);
	ck_assert_uint_eq(v->attempt, 1);
	ck_assert_int_eq(v->state, JOB_RUNNING);
	ck_assert_int_eq(v->outcome, JOB_UNENDED);
	v = &e.events[6];
	ck_assert_int_eq(v->state, JOB_DONE);
	ck_assert_int_eq(v->outcome, JOB_SUCCEEDED);
	v = &e.events[7];
	ck_assert(v->job.is_held);
	store_events_fini(&e);
}
END_TEST

START_TEST(filters)
{
	static const int64_t jobs[] = { 3, 99, 1 };
	struct store_events e = new_events(0);

	e.uid = 2000;
	expect(e, "2:2:+waiting 5:2:running 9:2:succeeded! ", 9, true);
	e = new_events(0);
	e.kinds = 1u << JOB_WORKER;
	e.jobs = jobs;
	e.n_jobs = 2;
	expect(e, "4:3:+waiting 8:3:waiting! ", 9, true);
	e.n_jobs = 3;
	e.limit = 3;
	expect(e, "1:1:+waiting 3:1:running 4:3:+waiting ", 4, false);
	e.since = 4;
	expect(e, "6:1:stopping 7:1:succeeded! 8:3:waiting! ", 8, false);
	e.since = 8;
	expect(e, "", 9, true);
}
END_TEST

/* A composition's events are those of all that is below it. */
START_TEST(parts_come_with_their_composition)
{
	static const int64_t wanted[] = { 2, 4 };
	struct store_new_job jobs[4] = { fx_job(), fx_job(), fx_job(), fx_job() };
	struct store_events e = new_events(9);

	jobs[0].kind = jobs[1].kind = JOB_GATHER; /* 4, its part 5, and 6 in that */
	jobs[0].queue = jobs[1].queue = NULL;
	jobs[1].parent_place_plus_1 = 1;
	jobs[2].parent_place_plus_1 = 2;
	jobs[1].run_of = jobs[2].run_of = 1;
	ck_assert_int_eq(fx_insert(jobs, 4), 0);
	ck_assert_int_eq(fx_move(6, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(7, 0, JOB_WAITING, JOB_RUNNING), 0);
	e.jobs = wanted;
	e.n_jobs = 2;
	expect(e, "10:4:+waiting! 11:5:+waiting! 12:6:+waiting 14:6:running! ", 15, true);
	e.kinds = 1u << JOB_WORKER;
	expect(e, "12:6:+waiting 14:6:running! ", 15, true);
}
END_TEST

/* Waiting again after an attempt is one thing, a change while it waits another. */
START_TEST(a_change_is_none_of_state)
{
	static const bool is_update[] = { false, true, false, false, true };
	struct store_update raise = { .id = 4, .fields = STORE_PRIORITY, .at = fx_at(9000).wall };
	struct store_change again;
	struct store_events e = new_events(9);

	ck_assert_int_eq(fx_insert_one(), 4);
	ck_assert_int_eq(fx_run(&raise.op, STORE_UPDATE), 0);
	ck_assert_int_eq(fx_move(4, 0, JOB_WAITING, JOB_RUNNING), 0);
	again = fx_change(4, 1, JOB_RUNNING, JOB_WAITING);
	again.outcome = JOB_FAILED;
	ck_assert_int_eq(fx_run(&again.op, STORE_CHANGE), 0);
	raise.attempt = 1;
	ck_assert_int_eq(fx_run(&raise.op, STORE_UPDATE), 0);
	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	ck_assert_uint_eq(e.n, 5);
	for (size_t i = 0; i < 5; i++)
		ck_assert(e.events[i].is_update == is_update[i]);
	store_events_fini(&e);
}
END_TEST

START_TEST(pages_meet)
{
	for (size_t limit = 1; limit <= 10; limit++) {
		struct store_events e = new_events(0);
		int64_t want = 1;

		e.limit = limit;
		do {
			ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
			ck_assert_uint_le(e.n, limit);
			for (size_t i = 0; i < e.n; i++)
				ck_assert_int_eq(e.events[i].seq, want++);
			ck_assert_int_eq(e.next, want - 1);
			e.since = e.next;
			store_events_fini(&e);
		} while (!e.is_at_end);
		ck_assert_int_eq(want, 10);
	}
}
END_TEST

START_TEST(a_page_ends_early_when_it_is_long)
{
	struct store_events e = new_events(0);

	e.max_bytes = 1;
	expect(e, "1:1:+waiting ", 1, false);
	e.max_bytes = strlen(FX_SPEC) + strlen("worker") + 1;
	expect(e, "1:1:+waiting 2:2:+waiting ", 2, false);
}
END_TEST

/* However much was removed: the numbers that are left come in order, and the gap is told. */
START_TEST(a_gap_is_told)
{
	struct store_remove rm = { .id = 1 };
	struct store_events e = new_events(0);

	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	ck_assert_int_eq(e.pruned_seq, 0);
	store_events_fini(&e);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	fx_restart();
	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	ck_assert_str_eq(text_of(&e), "2:2:+waiting 4:3:+waiting 5:2:running 8:3:waiting! "
				      "9:2:succeeded! ");
	ck_assert_int_eq(e.pruned_seq, 7);
	store_events_fini(&e);
	expect(new_events(2), "4:3:+waiting 5:2:running 8:3:waiting! 9:2:succeeded! ", 9, true);
}
END_TEST

/* Rows that do not pass cost as well: the page ends, and says where to go on. */
START_TEST(a_page_looks_at_a_bounded_number_of_rows)
{
	enum { N = 12000 };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));
	struct store_events e = new_events(0);

	for (int i = 0; i < N; i++)
		jobs[i] = fx_job();
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	free(jobs);
	e.kinds = 1u << JOB_FETCH;
	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	ck_assert_uint_eq(e.n, 0);
	ck_assert(!e.is_at_end);
	ck_assert_int_ge(e.next, 1000);
	ck_assert_int_le(e.next, N);
	e.since = e.next;
	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	ck_assert(e.is_at_end);
	ck_assert_int_eq(e.next, N + 9);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_events");
	TCase *t = tcase_create("events");

	tcase_add_checked_fixture(t, setup_history, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, everything_comes_in_order);
	tcase_add_test(t, a_number_from_the_future_is_told);
	tcase_add_test(t, a_submission_is_the_last_as_long_as_nothing_follows);
	tcase_add_test(t, events_tell_what_happened_and_the_job_what_is);
	tcase_add_test(t, filters);
	tcase_add_test(t, parts_come_with_their_composition);
	tcase_add_test(t, a_change_is_none_of_state);
	tcase_add_test(t, pages_meet);
	tcase_add_test(t, a_page_ends_early_when_it_is_long);
	tcase_add_test(t, a_gap_is_told);
	tcase_add_test(t, a_page_looks_at_a_bounded_number_of_rows);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}

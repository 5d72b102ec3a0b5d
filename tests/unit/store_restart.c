/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <poll.h>

/* What a restart finds, damage among it, and how a store is closed. */

/* ---- restart ---- */

static struct {
	struct store_live jobs[16];
	char queue[16][16];
	size_t n;
} live;

static void on_live(void *arg, const struct store_live *job)
{
	ck_assert_ptr_eq(arg, &live);
	ck_assert_uint_lt(live.n, 16);
	live.jobs[live.n] = *job;
	snprintf(live.queue[live.n], sizeof(live.queue[0]), "%s", job->queue ? job->queue : "-");
	live.n++;
}

static void read_live(void)
{
	live.n = 0;
	ck_assert_int_eq(store_each_live(fx.store, on_live, &live), 0);
}

static struct store_insert during[300];
static struct store_new_job during_jobs[300];
static size_t n_during;

static void on_live_submit(void *arg, const struct store_live *job)
{
	(void)arg, (void)job;
	during_jobs[n_during] = fx_job();
	during[n_during] =
		(struct store_insert){ .jobs = &during_jobs[n_during], .n = 1, .at = fx_at(0) };
	fx_submit(&during[n_during].op, STORE_INSERT);
	n_during++;
}

/* The connection belongs to one thread at a time: to the loop's until the loop runs. */
START_TEST(what_start_up_submits_waits_for_the_loop)
{
	struct store_new_job jobs[300];
	struct store_stats st;
	size_t done;

	for (size_t i = 0; i < 300; i++)
		jobs[i] = fx_job();
	ck_assert_int_eq(fx_insert(jobs, 300), 0);
	fx_restart();
	n_during = 0;
	done = fx.n_done;
	ck_assert_int_eq(store_each_live(fx.store, on_live_submit, NULL), 0);
	ck_assert_uint_eq(n_during, 300);
	(void)poll(NULL, 0, 20); /* time enough for a thread that has been given something */
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.n_commits, 0);
	while (fx.n_done < done + 300)
		loop_turn(true);
	for (size_t i = 0; i < 300; i++)
		ck_assert_int_eq(during_jobs[i].id, (int64_t)(301 + i));
}
END_TEST

START_TEST(a_restart_finds_the_unfinished_jobs)
{
	struct store_new_job timer = fx_job();
	struct store_stats st;

	timer.kind = JOB_TIMER;
	timer.queue = NULL;
	timer.priority = 5;
	timer.due = fx_at(777);
	fx_done_job();
	ck_assert_int_eq(fx_insert(&timer, 1), 0);
	fx_insert_one();
	fx_move(3, 0, JOB_WAITING, JOB_RUNNING);
	fx_insert_one();
	fx_move(4, 0, JOB_WAITING, JOB_RUNNING);
	fx_move(4, 1, JOB_RUNNING, JOB_STOPPING);
	fx_restart();
	read_live();
	ck_assert_uint_eq(live.n, 3);
	ck_assert_int_eq(live.jobs[0].id, 2);
	ck_assert_int_eq(live.jobs[0].kind, JOB_TIMER);
	ck_assert_int_eq(live.jobs[0].state, JOB_WAITING);
	ck_assert_str_eq(live.queue[0], "-");
	ck_assert_int_eq(live.jobs[0].priority, 5);
	ck_assert_uint_eq(live.jobs[0].uid, 1000);
	ck_assert_int_eq(live.jobs[0].due.wall.ms, fx_at(777).wall.ms);
	ck_assert_int_eq(live.jobs[0].due.boot.ns, fx_at(777).boot.ns);
	ck_assert_int_eq(live.jobs[1].state, JOB_RUNNING);
	ck_assert_uint_eq(live.jobs[1].attempt, 1);
	ck_assert_str_eq(live.queue[1], "worker");
	ck_assert_int_eq(live.jobs[1].due.wall.ms, 0);
	ck_assert_int_eq(live.jobs[2].state, JOB_STOPPING);
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_WAITING], 1);
	ck_assert_uint_eq(st.by_state[JOB_RUNNING], 1);
	ck_assert_uint_eq(st.by_state[JOB_STOPPING], 1);
	ck_assert_uint_eq(st.by_state[JOB_DONE], 1);
	ck_assert_uint_eq(st.by_outcome[JOB_SUCCEEDED], 1);
}
END_TEST

/* R5.1: CLOCK_BOOTTIME of another boot says nothing. */
START_TEST(another_boot_drops_boot_times)
{
	struct store_new_job job = fx_job();

	job.due = fx_at(777);
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM boot"), 1);
	fx_raw("UPDATE boot SET boot_id = 'another'");
	fx_open();
	read_live();
	ck_assert_int_eq(live.jobs[0].due.wall.ms, fx_at(777).wall.ms);
	ck_assert_int_eq(live.jobs[0].due.boot.ns, 0);
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	fx_restart();
	read_live();
	ck_assert_int_eq(live.jobs[0].due.boot.ns, 0);
	ck_assert_int_eq(live.jobs[1].due.boot.ns, fx_at(777).boot.ns);
}
END_TEST

/* ---- damage (R1.12) ---- */

static const char *const damages[] = {
	"UPDATE doc SET spec = replace(spec, 'true', 'trux')",
	"UPDATE job SET uid = 0",
	"UPDATE job SET gid = 0",
	"UPDATE job SET kind = 'fetch'",
	"UPDATE job SET submitted = submitted + 1",
	"UPDATE job SET hash = hash + 1",
	"DELETE FROM doc",
};

START_TEST(damaged_rows_are_noticed)
{
	int64_t id = fx_insert_one();
	struct store_change c = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);
	struct store_load l;

	fx_close();
	fx_raw(damages[_i]);
	fx_open();
	l = fx_load(id);
	ck_assert(l.damaged);
	ck_assert_ptr_nonnull(l.spec);
	store_load_fini(&l);
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	ck_assert(c.damaged);
	ck_assert_ptr_nonnull(c.spec);
	store_change_fini(&c);
}
END_TEST

/* ---- closing ---- */

START_TEST(close_answers_everything)
{
	struct store_new_job jobs[10];
	struct store_insert ops[10];
	struct store_list list = { .limit = 100, .max_bytes = 1 << 20, .uid = STORE_ANY_UID };

	for (int i = 0; i < 10; i++) {
		jobs[i] = fx_job();
		ops[i] = (struct store_insert){ .jobs = &jobs[i], .n = 1, .at = fx_at(0) };
		fx_submit(&ops[i].op, STORE_INSERT);
	}
	fx_submit(&list.op, STORE_LIST);
	fx_close();
	ck_assert_uint_eq(fx.n_done, 11);
	ck_assert_uint_eq(list.n, 10);
	store_list_fini(&list);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job"), 10);
	ck_assert_int_eq(fx_raw_int("SELECT value FROM meta WHERE key = 'clean'"), 1);
}
END_TEST

START_TEST(an_orderly_close_leaves_no_log)
{
	cleanup_free char *wal = fx_path("awaitd.db-wal");
	cleanup_free char *shm = fx_path("awaitd.db-shm");

	fx_insert_one();
	ck_assert_int_eq(access(wal, F_OK), 0);
	ck_assert_int_eq(access(shm, F_OK), -1); /* exclusive: no shared memory (R1.1) */
	fx_close();
	ck_assert_int_eq(access(wal, F_OK), -1);
}
END_TEST

/* R1.7: the log is laid out at the start and does not grow under load. */
START_TEST(the_log_stays_small)
{
	struct store_stats st;
	int64_t first;

	fx_insert_one();
	store_stats(fx.store, &st);
	first = st.wal_bytes;
	ck_assert_int_gt(first, 4 << 20);
	for (int i = 0; i < 30; i++) {
		struct store_new_job *jobs = xcalloc(2000, sizeof(*jobs));

		for (int k = 0; k < 2000; k++)
			jobs[k] = fx_job();
		ck_assert_int_eq(fx_insert(jobs, 2000), 0);
		free(jobs);
	}
	store_stats(fx.store, &st);
	ck_assert_int_eq(st.wal_bytes, first);
	ck_assert_int_gt(st.db_bytes, 4 << 20);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_restart");
	TCase *t = tcase_create("store_restart");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_start_up_submits_waits_for_the_loop);
	tcase_add_test(t, a_restart_finds_the_unfinished_jobs);
	tcase_add_test(t, another_boot_drops_boot_times);
	tcase_add_loop_test(t, damaged_rows_are_noticed, 0, sizeof(damages) / sizeof(damages[0]));
	tcase_add_test(t, close_answers_everything);
	tcase_add_test(t, an_orderly_close_leaves_no_log);
	tcase_add_test(t, the_log_stays_small);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}

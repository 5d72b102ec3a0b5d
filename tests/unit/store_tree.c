/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <stdarg.h>

#include "daemon/store/rows.h"

/* Compositions and their parts, needs, retries, deadlines. */

/* ---- trees ---- */

enum { ROOT, FIRST, INNER, LAST, INNER_FIRST, INNER_LAST, N_TREE };

/* A gather of a timer, a sequence of two timers, and a timer; children behind their parents. */
static void fill_tree(struct store_new_job jobs[N_TREE])
{
	static const struct {
		enum job_kind kind;
		size_t parent;
		unsigned part;
		const char *name;
	} tree[N_TREE] = {
		[ROOT] = { JOB_GATHER, STORE_NO_PLACE, 0, "root" },
		[FIRST] = { JOB_TIMER, ROOT, 0, "first" },
		[INNER] = { JOB_SEQUENCE, ROOT, 1, "inner" },
		[LAST] = { JOB_TIMER, ROOT, 2, NULL },
		[INNER_FIRST] = { JOB_TIMER, INNER, 0, "one" },
		[INNER_LAST] = { JOB_TIMER, INNER, 1, "two" },
	};

	for (size_t i = 0; i < N_TREE; i++) {
		jobs[i] = fx_job();
		jobs[i].kind = tree[i].kind;
		jobs[i].queue = NULL;
		jobs[i].name = tree[i].name;
		jobs[i].parent_place_plus_1 = tree[i].parent + 1; /* STORE_NO_PLACE + 1 is 0 */
		jobs[i].run_of = tree[i].parent == STORE_NO_PLACE ? 0 : 1;
		jobs[i].part = tree[i].part;
	}
}

static struct store_job get_job(int64_t id)
{
	struct store_get get = { .ids = &id, .n = 1, .with_attempts = true };
	struct store_job job;

	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	job = get.jobs[0];
	memset(&get.jobs[0], 0, sizeof(job));
	store_get_fini(&get);
	return job;
}

static void expect_children(int64_t id, const int64_t *ids, size_t n)
{
	struct store_job job = get_job(id);

	ck_assert_uint_eq(job.n_children, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(job.children[i], ids[i]);
	rows_job_fini(&job);
}

START_TEST(a_tree_is_inserted_whole)
{
	struct store_new_job jobs[N_TREE];
	struct store_insert in = { .jobs = jobs, .n = N_TREE, .at = fx_at(0) };
	struct store_job job;

	fx_insert_one();
	fill_tree(jobs);
	jobs[ROOT].has_refs = true;
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert_int_eq(in.last_seq, 7);
	for (int i = 0; i < N_TREE; i++)
		ck_assert_int_eq(jobs[i].id, 2 + i);
	ck_assert_int_eq(jobs[INNER_LAST].parent, jobs[INNER].id);
	expect_children(jobs[ROOT].id, (int64_t[]){ 3, 4, 5 }, 3);
	expect_children(jobs[INNER].id, (int64_t[]){ 6, 7 }, 2);
	expect_children(jobs[LAST].id, NULL, 0);
	job = get_job(jobs[ROOT].id);
	ck_assert_int_eq(job.parent, 0);
	ck_assert(job.has_refs);
	rows_job_fini(&job);
	job = get_job(jobs[INNER].id);
	ck_assert_int_eq(job.parent, jobs[ROOT].id);
	ck_assert_uint_eq(job.part, 1);
	ck_assert(!job.has_refs);
	rows_job_fini(&job);
	fx_close();
	fx_expect_sound();
}
END_TEST

/* A known key gives the first tree's root, and makes no parts. */
START_TEST(a_known_key_makes_no_parts)
{
	struct store_new_job jobs[N_TREE + 1];
	struct store_insert in = { .jobs = jobs, .n = N_TREE + 1, .at = fx_at(0) };

	fill_tree(jobs);
	jobs[ROOT].key = "k";
	ck_assert_int_eq(fx_insert(jobs, N_TREE), 0);
	fill_tree(jobs);
	jobs[ROOT].key = "k";
	jobs[N_TREE] = fx_job();
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert(jobs[ROOT].existing);
	ck_assert_int_eq(jobs[ROOT].id, 1);
	for (int i = FIRST; i < N_TREE; i++) {
		ck_assert(jobs[i].existing);
		ck_assert_int_eq(jobs[i].id, 0);
	}
	ck_assert(!jobs[N_TREE].existing);
	ck_assert_int_eq(jobs[N_TREE].id, N_TREE + 1);
	ck_assert_int_eq(in.last_seq, N_TREE + 1);
	/* And where nothing is made there is no last one. */
	in.n = N_TREE;
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert_int_eq(in.last_seq, 0);
}
END_TEST

/* ---- a further attempt of a composition ---- */

/* Parts 0 ... @n - 1 of @parent, for its attempt @run; returns the first one's id. */
static int64_t add_parts(int64_t parent, uint32_t run, unsigned n)
{
	struct store_new_job *jobs = xcalloc(n, sizeof(*jobs));
	int64_t id;

	for (unsigned i = 0; i < n; i++) {
		jobs[i] = fx_job();
		jobs[i].parent = parent;
		jobs[i].run_of = run;
		jobs[i].part = i;
	}
	ck_assert_int_eq(fx_insert(jobs, n), 0);
	id = jobs[0].id;
	free(jobs);
	return id;
}

static int64_t add_group(enum job_kind kind)
{
	struct store_new_job job = fx_job();

	job.kind = kind;
	job.queue = NULL;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	return job.id;
}

START_TEST(a_further_attempt_has_parts_of_its_own)
{
	int64_t group = add_group(JOB_GATHER), first = add_parts(group, 1, 2), second;

	expect_children(group, (int64_t[]){ first, first + 1 }, 2);
	second = add_parts(group, 2, 3);
	expect_children(group, (int64_t[]){ second, second + 1, second + 2 }, 3);
	fx_restart();
	expect_children(group, (int64_t[]){ second, second + 1, second + 2 }, 3);
}
END_TEST

/* ---- lists ---- */

static struct store_list parts_of(int64_t parent)
{
	return (struct store_list){
		.uid = STORE_ANY_UID, .limit = 100, .max_bytes = 1 << 20, .parent = parent
	};
}

/* All pages of at most @limit: each part of the two attempts once, in order. */
static void expect_pages(int64_t group, size_t limit, bool descending)
{
	struct store_list l = parts_of(group);
	int64_t want = descending ? group + 14 : group + 1, step = descending ? -1 : 1;
	size_t n = 0;

	l.limit = limit;
	l.descending = descending;
	do {
		ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
		ck_assert_uint_le(l.n, limit);
		for (size_t i = 0; i < l.n; i++, want += step)
			ck_assert_int_eq(l.jobs[i].id, want);
		n += l.n;
		l.after = l.next;
		store_list_fini(&l);
	} while (l.after != 0);
	ck_assert_uint_eq(n, 14);
}

START_TEST(parts_are_listed_in_pages)
{
	int64_t group = add_group(JOB_GATHER);
	struct store_list l;

	add_parts(group, 1, 7);
	add_parts(group, 2, 7);
	add_parts(add_group(JOB_RACE), 1, 7);
	for (size_t limit = 1; limit < 16; limit++) {
		expect_pages(group, limit, false);
		expect_pages(group, limit, true);
	}
	l = parts_of(group);
	l.states = 1u << JOB_RUNNING;
	ck_assert_int_eq(fx_move(group + 3, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 1);
	ck_assert_int_eq(l.jobs[0].id, group + 3);
	store_list_fini(&l);
	l = parts_of(-1);
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 2);
	ck_assert_int_eq(l.jobs[0].id, group);
	ck_assert_uint_eq(l.jobs[0].n_children, 7);
	ck_assert_int_eq(l.jobs[1].id, group + 15);
	store_list_fini(&l);
	/* Of either composition's parts and top level, in the order of ids. */
	l = parts_of(0);
	l.parents = (int64_t[]){ group, group + 15 };
	l.n_parents = 2;
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 21);
	ck_assert_int_eq(l.jobs[0].id, group + 1);
	ck_assert_int_eq(l.jobs[20].id, group + 22);
	store_list_fini(&l);
	l.parents = (int64_t[]){ 0, group + 15 };
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 9);
	ck_assert_int_eq(l.jobs[0].id, group);
	ck_assert_int_eq(l.jobs[1].id, group + 15);
	ck_assert_int_eq(l.jobs[2].id, group + 16);
	store_list_fini(&l);
	l = parts_of(group + 3); /* a part has none */
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 0);
	ck_assert_int_eq(l.next, 0);
	store_list_fini(&l);
}
END_TEST

/* Ten thousand ids are text too. */
START_TEST(children_end_a_page)
{
	struct store_list l = parts_of(-1);
	int64_t group = add_group(JOB_GATHER);

	add_parts(group, 1, 1000);
	add_group(JOB_GATHER);
	l.max_bytes = 8000;
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 1);
	ck_assert_int_eq(l.next, group);
	store_list_fini(&l);
}
END_TEST

/* ---- needs ---- */

START_TEST(needs_are_kept_in_order)
{
	int64_t first = fx_insert_one(), second = fx_insert_one();
	struct store_need needs[3] = {
		{ .job = second, .place = STORE_NO_PLACE, .on = NEED_FAILURE },
		{ .place = 0, .on = NEED_DONE },
		{ .job = first, .place = STORE_NO_PLACE, .on = NEED_SUCCESS },
	};
	struct store_new_job jobs[2] = { fx_job(), fx_job() };
	struct store_job job;

	jobs[1].needs = needs;
	jobs[1].n_needs = 3;
	ck_assert_int_eq(fx_insert(jobs, 2), 0);
	ck_assert_int_eq(needs[1].job, jobs[0].id);
	job = get_job(jobs[1].id);
	ck_assert_uint_eq(job.n_needs, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(job.needs[i].job, needs[i].job);
		ck_assert_int_eq(job.needs[i].on, needs[i].on);
		ck_assert_uint_eq(job.needs[i].place, STORE_NO_PLACE);
	}
	rows_job_fini(&job);
	fx_close();
	fx_expect_sound();
}
END_TEST

START_TEST(a_need_that_is_not_there_inserts_nothing)
{
	struct store_need need = { .job = 77, .place = STORE_NO_PLACE };
	struct store_new_job jobs[3] = { fx_job(), fx_job(), fx_job() };
	struct store_insert in = { .jobs = jobs, .n = 3, .at = fx_at(0) };

	jobs[1].needs = &need;
	jobs[1].n_needs = 1;
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), -ENOENT);
	ck_assert_uint_eq(in.conflict, 1);
	ck_assert_int_eq(fx_insert_one(), 1);
}
END_TEST

/* Sent again after the needed job was removed: the answer is still the first job. */
START_TEST(a_known_key_does_not_ask_for_its_needs)
{
	struct store_need need = { .job = fx_done_job(), .place = STORE_NO_PLACE };
	struct store_remove rm = { .id = need.job };
	struct store_new_job job = fx_job();
	int64_t id;

	job.key = "k";
	job.needs = &need;
	job.n_needs = 1;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	id = job.id;
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert(job.existing);
	ck_assert_int_eq(job.id, id);
}
END_TEST

/* The key stays taken, but what it stood for can be needed no more. */
START_TEST(a_need_on_the_key_of_a_removed_job_inserts_nothing)
{
	struct store_new_job jobs[3] = { fx_job(), fx_job(), fx_job() };
	struct store_need need = { .place = 0 };
	struct store_remove rm = { 0 };
	struct store_insert in = { .jobs = jobs, .n = 2, .at = fx_at(0) };

	jobs[0].key = "k";
	ck_assert_int_eq(fx_insert(jobs, 1), 0);
	rm.id = jobs[0].id;
	ck_assert_int_eq(fx_move(rm.id, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	jobs[1].needs = &need;
	jobs[1].n_needs = 1;
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), -ENOENT);
	ck_assert_uint_eq(in.conflict, 1);
	/* The same of a second document with that key. */
	in.n = 3;
	jobs[1] = jobs[0];
	jobs[2].needs = &need;
	jobs[2].n_needs = 1;
	need.place = 1;
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), -ENOENT);
	ck_assert_uint_eq(in.conflict, 2);
	ck_assert_int_eq(fx_insert_one(), rm.id + 1);
}
END_TEST

START_TEST(a_need_may_name_the_second_document_with_a_key)
{
	struct store_new_job jobs[3] = { fx_job(), fx_job(), fx_job() };
	struct store_need need = { .place = 1 };

	jobs[0].key = jobs[1].key = "k";
	jobs[2].needs = &need;
	jobs[2].n_needs = 1;
	ck_assert_int_eq(fx_insert(jobs, 3), 0);
	ck_assert_int_eq(jobs[1].id, jobs[0].id);
	ck_assert_int_eq(need.job, jobs[0].id);
}
END_TEST

/* ---- retries ---- */

START_TEST(a_retry_keeps_what_became_of_the_attempt)
{
	int64_t id = fx_insert_one();
	struct store_change again = fx_change(id, 1, JOB_RUNNING, JOB_WAITING);
	struct store_change end = fx_change(id, 3, JOB_STOPPING, JOB_DONE);
	struct store_job job;

	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	again.outcome = JOB_FAILED;
	again.error_json = "{\"code\":\"exit\",\"exit\":3}";
	again.result_json = "{\"exit\":3}";
	again.uses_try = true;
	again.due = fx_at(5000);
	ck_assert_int_eq(fx_run(&again.op, STORE_CHANGE), 0);
	job = get_job(id);
	ck_assert_uint_eq(job.tries, 1);
	ck_assert_int_eq(job.state, JOB_WAITING);
	ck_assert_int_eq(job.due.ms, FX_NOW_MS + 5000);
	rows_job_fini(&job);
	/* Cut off: that is no try. */
	ck_assert_int_eq(fx_move(id, 1, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(id, 2, JOB_RUNNING, JOB_WAITING), 0);
	ck_assert_int_eq(fx_move(id, 2, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(id, 3, JOB_RUNNING, JOB_STOPPING), 0);
	end.outcome = JOB_TIMED_OUT;
	end.error_json = "{\"code\":\"timeout\"}";
	end.result_json = "{\"exit\":7}";
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
	fx_restart();
	job = get_job(id);
	ck_assert_str_eq(job.result_json, "{\"exit\":7}");
	ck_assert_uint_eq(job.tries, 1);
	ck_assert_uint_eq(job.n_attempts, 3);
	ck_assert_uint_eq(job.attempts[0].attempt, 1);
	ck_assert_int_eq(job.attempts[0].outcome, JOB_FAILED);
	ck_assert_str_eq(job.attempts[0].error_json, "{\"code\":\"exit\",\"exit\":3}");
	ck_assert_int_eq(job.attempts[0].started.ms, FX_NOW_MS + 1000);
	ck_assert_int_eq(job.attempts[0].ended.ms, FX_NOW_MS + 1000);
	ck_assert_str_eq(job.attempts[0].result_json, "{\"exit\":3}");
	ck_assert_int_eq(job.attempts[1].outcome, JOB_LOST);
	ck_assert_ptr_null(job.attempts[1].error_json);
	ck_assert_ptr_null(job.attempts[1].result_json);
	ck_assert_int_eq(job.attempts[2].outcome, JOB_TIMED_OUT);
	ck_assert_str_eq(job.attempts[2].error_json, "{\"code\":\"timeout\"}");
	ck_assert_str_eq(job.attempts[2].result_json, "{\"exit\":7}");
	rows_job_fini(&job);
	fx_close();
	fx_expect_sound();
}
END_TEST

/* An attempt that failed with @result, NULL = none, and another one is to follow. */
static void fail_once(int64_t id, uint32_t attempt, const char *result)
{
	struct store_change again = fx_change(id, attempt, JOB_RUNNING, JOB_WAITING);

	ck_assert_int_eq(fx_move(id, attempt - 1, JOB_WAITING, JOB_RUNNING), 0);
	again.outcome = JOB_FAILED;
	again.error_json = "{\"code\":\"exit\",\"exit\":3}";
	again.result_json = result;
	ck_assert_int_eq(fx_run(&again.op, STORE_CHANGE), 0);
}

static void end_while_waiting(int64_t id, uint32_t attempt, const char *error)
{
	struct store_change end = fx_change(id, attempt, JOB_WAITING, JOB_DONE);

	end.outcome = JOB_TIMED_OUT;
	end.error_json = error;
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
}

START_TEST(one_that_ends_between_attempts_has_the_last_ones_result)
{
	static const char error[] = "{\"code\":\"deadline\"}", result[] = "{\"exit\":3}";
	int64_t ran = fx_insert_one(), not_last = fx_insert_one(), never = fx_insert_one();
	struct store_stats st;
	struct store_job job;

	fail_once(ran, 1, result);
	fail_once(not_last, 1, result);
	fail_once(not_last, 2, NULL); /* the second one could not be started */
	fx_restart();
	end_while_waiting(ran, 1, error);
	end_while_waiting(not_last, 2, error);
	end_while_waiting(never, 0, error);
	store_stats(fx.store, &st);
	ck_assert_int_eq(st.kept_bytes, 3 * strlen(error) + strlen(result));
	fx_restart();
	job = get_job(ran);
	ck_assert_str_eq(job.result_json, result);
	ck_assert_str_eq(job.error_json, error);
	ck_assert_str_eq(job.attempts[0].result_json, result);
	rows_job_fini(&job);
	job = get_job(not_last);
	ck_assert_ptr_null(job.result_json);
	ck_assert_str_eq(job.attempts[0].result_json, result);
	ck_assert_ptr_null(job.attempts[1].result_json);
	rows_job_fini(&job);
	job = get_job(never);
	ck_assert_ptr_null(job.result_json);
	rows_job_fini(&job);
	fx_close();
	fx_expect_sound();
}
END_TEST

/* ---- deadlines and keep ---- */

START_TEST(a_deadline_ends_with_its_job)
{
	struct store_new_job job = fx_job();

	job.deadline = fx_at(9000);
	job.keep_s = 60;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT due FROM deadline WHERE job = 1"), FX_NOW_MS + 9000);
	fx_open();
	ck_assert_int_eq(fx_move(job.id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(job.id, 1, JOB_RUNNING, JOB_DONE), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM deadline"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT due FROM expiry WHERE job = 1"),
			 FX_NOW_MS + 1000 + 60000);
	fx_expect_sound();
}
END_TEST

/* ---- at start-up ---- */

static char told[1024];

static void __attribute__((format(printf, 1, 2))) tell(const char *fmt, ...)
{
	size_t len = strlen(told);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(told + len, sizeof(told) - len, fmt, ap);
	va_end(ap);
}

static void on_live(void *arg, const struct store_live *job)
{
	(void)arg;
	tell("%lld<%lld.%u%s%s t%u ", (long long)job->id, (long long)job->parent, job->part,
	     job->is_held ? " held" : "", job->has_refs ? " refs" : "", job->tries);
}

static void on_need(void *arg, int64_t job, int64_t on_job, enum need_on on,
		    enum job_outcome outcome)
{
	const char *word = job_outcome_name(outcome);

	(void)arg;
	tell("%lld:%lld:%s:%s ", (long long)job, (long long)on_job, need_on_name(on),
	     word ? word : "-");
}

static void on_part(void *arg, const struct store_ended_part *part)
{
	(void)arg;
	tell("%lld.%u=%lld:%s%s ", (long long)part->parent, part->part, (long long)part->id,
	     job_outcome_name(part->outcome), part->is_late ? " late" : "");
}

static void on_deadline(void *arg, int64_t job, struct instant deadline)
{
	(void)arg;
	tell("%lld:%lld:%d ", (long long)job, (long long)(deadline.wall.ms - FX_NOW_MS),
	     deadline.boot.ns != 0);
}

static void expect_told(const char *what)
{
	ck_assert_str_eq(told, what);
	told[0] = '\0';
}

START_TEST(live_jobs_tell_their_place)
{
	struct store_new_job jobs[N_TREE];

	fill_tree(jobs);
	jobs[INNER_LAST].has_refs = true;
	ck_assert_int_eq(fx_insert(jobs, N_TREE), 0);
	fx_restart();
	ck_assert_int_eq(store_each_live(fx.store, on_live, NULL), 0);
	expect_told("1<0.0 t0 2<1.0 t0 3<1.1 t0 4<1.2 t0 5<3.0 t0 6<3.1 refs t0 ");
}
END_TEST

START_TEST(needs_of_unfinished_jobs_are_told)
{
	int64_t done = fx_done_job(), live = fx_insert_one();
	struct store_need needs[2] = {
		{ .job = done, .place = STORE_NO_PLACE, .on = NEED_DONE },
		{ .job = live, .place = STORE_NO_PLACE, .on = NEED_SUCCESS },
	};
	struct store_new_job jobs[2] = { fx_job(), fx_job() };

	for (int i = 0; i < 2; i++) {
		jobs[i].needs = needs;
		jobs[i].n_needs = 2;
	}
	ck_assert_int_eq(fx_insert(jobs, 2), 0);
	ck_assert_int_eq(fx_move(jobs[0].id, 0, JOB_WAITING, JOB_DONE), 0);
	fx_restart();
	ck_assert_int_eq(store_each_need(fx.store, on_need, NULL), 0);
	expect_told("4:1:done:succeeded 4:2:success:- ");
}
END_TEST

/* Only damage takes away what is needed still; nobody knows then how it ended. */
START_TEST(a_need_on_what_is_gone_is_told_as_skipped)
{
	struct store_need need = { .job = fx_done_job(), .place = STORE_NO_PLACE };
	struct store_new_job job = fx_job();
	char *sql = xasprintf("DELETE FROM job WHERE id = %lld", (long long)need.job);

	job.needs = &need;
	job.n_needs = 1;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	fx_close();
	fx_raw(sql);
	free(sql);
	fx_open();
	ck_assert_int_eq(store_each_need(fx.store, on_need, NULL), 0);
	expect_told("2:1:success:skipped ");
}
END_TEST

START_TEST(ended_parts_of_the_current_attempt_are_told)
{
	int64_t old = add_group(JOB_SEQUENCE), group, part;

	part = add_parts(old, 1, 2);
	for (int i = 0; i < 2; i++)
		fx_move(part + i, 0, JOB_WAITING, JOB_DONE);
	fx_move(old, 0, JOB_WAITING, JOB_DONE);
	group = add_group(JOB_GATHER);
	ck_assert_int_eq(group, 4);
	part = add_parts(group, 1, 2);
	for (int i = 0; i < 2; i++)
		fx_move(part + i, 0, JOB_WAITING, JOB_DONE);
	part = add_parts(group, 2, 3);
	fx_move(part, 0, JOB_WAITING, JOB_DONE);
	fx_move(part + 2, 0, JOB_WAITING, JOB_DONE);
	fx_restart();
	ck_assert_int_eq(store_each_live(fx.store, on_live, NULL), 0);
	told[0] = '\0';
	ck_assert_int_eq(store_each_ended_part(fx.store, on_part, NULL), 0);
	expect_told("4.0=7:succeeded 4.2=9:succeeded ");
}
END_TEST

/* A race was won by the first that ended, whichever part that is. */
START_TEST(ended_parts_are_told_in_the_order_of_their_ends)
{
	int64_t group = add_group(JOB_RACE), part = add_parts(group, 1, 4);

	fx_move(group, 0, JOB_WAITING, JOB_RUNNING);
	fx_move(part + 1, 0, JOB_WAITING, JOB_DONE);
	fx_move(part, 0, JOB_WAITING, JOB_DONE);
	fx_move(group, 1, JOB_RUNNING, JOB_STOPPING);
	fx_move(part + 3, 0, JOB_WAITING, JOB_DONE);
	fx_restart();
	ck_assert_int_eq(store_each_live(fx.store, on_live, NULL), 0);
	told[0] = '\0';
	ck_assert_int_eq(store_each_ended_part(fx.store, on_part, NULL), 0);
	expect_told("1.1=3:succeeded 1.0=2:succeeded 1.3=5:succeeded late ");
}
END_TEST

START_TEST(deadlines_are_told)
{
	struct store_new_job jobs[2] = { fx_job(), fx_job() };

	jobs[0].deadline = fx_at(7000);
	jobs[1].deadline = (struct instant){ .wall = { FX_NOW_MS + 8000 } };
	ck_assert_int_eq(fx_insert(jobs, 2), 0);
	fx_restart();
	ck_assert_int_eq(store_each_deadline(fx.store, on_deadline, NULL), 0);
	expect_told("1:7000:1 2:8000:0 ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_tree");
	TCase *t = tcase_create("tree");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_tree_is_inserted_whole);
	tcase_add_test(t, a_known_key_makes_no_parts);
	tcase_add_test(t, a_further_attempt_has_parts_of_its_own);
	tcase_add_test(t, parts_are_listed_in_pages);
	tcase_add_test(t, children_end_a_page);
	tcase_add_test(t, needs_are_kept_in_order);
	tcase_add_test(t, a_need_that_is_not_there_inserts_nothing);
	tcase_add_test(t, a_known_key_does_not_ask_for_its_needs);
	tcase_add_test(t, a_need_on_the_key_of_a_removed_job_inserts_nothing);
	tcase_add_test(t, a_need_may_name_the_second_document_with_a_key);
	tcase_add_test(t, a_retry_keeps_what_became_of_the_attempt);
	tcase_add_test(t, one_that_ends_between_attempts_has_the_last_ones_result);
	tcase_add_test(t, a_deadline_ends_with_its_job);
	tcase_add_test(t, live_jobs_tell_their_place);
	tcase_add_test(t, needs_of_unfinished_jobs_are_told);
	tcase_add_test(t, a_need_on_what_is_gone_is_told_as_skipped);
	tcase_add_test(t, ended_parts_of_the_current_attempt_are_told);
	tcase_add_test(t, ended_parts_are_told_in_the_order_of_their_ends);
	tcase_add_test(t, deadlines_are_told);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}

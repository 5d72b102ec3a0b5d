/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/buf.h"
#include "tests/unit/store_fixture.h"

/*
 * Twelve jobs to list: id % 3 gives the kind, id % 4 the owner, id 1 ... 4
 * are done, 5 and 6 run.
 */
#define N_JOBS 12

static const char *const tags_of[] = { NULL, "[\"x\"]", "[\"x\",\"y\"]", "[\",\"]" };

static void setup_jobs(void)
{
	static const enum job_kind kinds[] = { JOB_TIMER, JOB_FETCH, JOB_WORKER };
	static const char *const queues[] = { NULL, "fetch", "worker" };
	struct store_new_job jobs[N_JOBS];

	fx_setup();
	for (int i = 0; i < N_JOBS; i++) {
		int id = i + 1;

		jobs[i] = fx_job();
		jobs[i].kind = kinds[id % 3];
		jobs[i].queue = queues[id % 3];
		jobs[i].uid = (uid_t)(1000 + id % 4);
		jobs[i].name = id % 2 ? "odd" : NULL;
		jobs[i].tags = tags_of[id % 4];
	}
	ck_assert_int_eq(fx_insert(jobs, N_JOBS), 0);
	for (int id = 1; id <= 6; id++)
		fx_move(id, 0, JOB_WAITING, JOB_RUNNING);
	for (int id = 1; id <= 4; id++) {
		struct store_change c = fx_change(id, 1, JOB_RUNNING, JOB_DONE);

		c.outcome = id % 2 ? JOB_SUCCEEDED : JOB_FAILED;
		c.error_json = id % 2 ? NULL : "{}";
		ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	}
}

static struct store_list new_list(void)
{
	return (struct store_list){ .uid = STORE_ANY_UID, .limit = 100, .max_bytes = 1 << 20 };
}

/* The ids of a page as text: "1 2 3 ". */
static const char *ids_of(const struct store_list *l)
{
	static char text[1024];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < l->n && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%lld ",
					(long long)l->jobs[i].id);
	return text;
}

static void expect(struct store_list l, const char *ids)
{
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_str_eq(ids_of(&l), ids);
	ck_assert_int_eq(l.next, 0);
	store_list_fini(&l);
}

START_TEST(filters)
{
	struct store_list l = new_list();

	expect(l, "1 2 3 4 5 6 7 8 9 10 11 12 ");
	l.states = 1u << JOB_DONE;
	expect(l, "1 2 3 4 ");
	l.outcomes = 1u << JOB_FAILED;
	expect(l, "2 4 ");
	l = new_list();
	l.states = 1u << JOB_RUNNING | 1u << JOB_WAITING;
	expect(l, "5 6 7 8 9 10 11 12 ");
	l.kinds = 1u << JOB_TIMER | 1u << JOB_WORKER;
	expect(l, "5 6 8 9 11 12 ");
	l.kinds = 1u << JOB_TIMER;
	expect(l, "6 9 12 ");
	l = new_list();
	l.uid = 1001;
	expect(l, "1 5 9 ");
	l.states = 1u << JOB_WAITING;
	expect(l, "9 ");
	l.outcomes = 1u << JOB_FAILED; /* no job that waits has one */
	expect(l, "");
}
END_TEST

START_TEST(filters_by_text)
{
	static const char *const worker[] = { "worker", NULL };
	static const char *const both[] = { "worker", "fetch", NULL };
	static const char *const odd[] = { "even", "odd", NULL };
	static const char *const none[] = { NULL };
	static const char *const tag_y[] = { "y", NULL };
	static const char *const tag_xy[] = { "y", "x", NULL };
	static const char *const comma[] = { ",", NULL };
	static const char *const part[] = { "x\",\"y", NULL };
	struct store_list l = new_list();

	l.queues = worker;
	expect(l, "2 5 8 11 ");
	l.queues = both;
	expect(l, "1 2 4 5 7 8 10 11 ");
	l.names = odd;
	expect(l, "1 5 7 11 ");
	l = new_list();
	l.queues = none; /* an empty list is no filter */
	l.tags = tag_y;
	expect(l, "2 6 10 ");
	l.tags = tag_xy;
	expect(l, "1 2 5 6 9 10 ");
	/* Tags are compared as tags, not as pieces of JSON. */
	l.tags = comma;
	expect(l, "3 7 11 ");
	l.tags = part;
	expect(l, "");
}
END_TEST

/* Walk all pages; the ids in the order in which they came. */
static const char *walk(struct store_list l, unsigned *ret_n_pages)
{
	static char text[1024];

	text[0] = '\0';
	*ret_n_pages = 0;
	do {
		size_t len = strlen(text);

		ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
		ck_assert_uint_le(l.n, l.limit);
		snprintf(text + len, sizeof(text) - len, "%s| ", ids_of(&l));
		l.after = l.next;
		store_list_fini(&l);
		++*ret_n_pages;
	} while (l.after != 0);
	return text;
}

START_TEST(pages_both_ways)
{
	struct store_list l = new_list();
	unsigned n;

	l.limit = 5;
	ck_assert_str_eq(walk(l, &n), "1 2 3 4 5 | 6 7 8 9 10 | 11 12 | ");
	l.descending = true;
	ck_assert_str_eq(walk(l, &n), "12 11 10 9 8 | 7 6 5 4 3 | 2 1 | ");
	l.limit = 6; /* an exact fit has no empty page behind it */
	ck_assert_str_eq(walk(l, &n), "12 11 10 9 8 7 | 6 5 4 3 2 1 | ");
	l.states = 1u << JOB_RUNNING | 1u << JOB_WAITING;
	l.limit = 3;
	ck_assert_str_eq(walk(l, &n), "12 11 10 | 9 8 7 | 6 5 | ");
	l.descending = false;
	ck_assert_str_eq(walk(l, &n), "5 6 7 | 8 9 10 | 11 12 | ");
}
END_TEST

START_TEST(a_page_ends_early_beyond_its_bytes)
{
	struct store_list l = new_list();
	unsigned n;

	l.max_bytes = 1;
	walk(l, &n);
	ck_assert_uint_eq(n, N_JOBS);
	l.max_bytes = 3 * strlen(FX_SPEC);
	walk(l, &n);
	ck_assert_uint_lt(n, N_JOBS / 2);
	ck_assert_uint_gt(n, 2);
}
END_TEST

/* Long values are told in whole answers only; what stands beside them always. */
START_TEST(long_values_stay_out)
{
	static const char retry[] = "{\"retry\":{\"max\":2,\"on\":[\"},{\"]},\"key\":\"k\\\"}\"}";
	static const char front[] = "{\"kind\":\"timer\",\"name\":\"\\\"retry\\\":7\",";
	struct store_new_job job = fx_job();
	struct store_list l = new_list();
	struct store_get whole = { .n = 1 };
	struct store_change c;
	struct buf spec = { 0 }, result = { 0 }, error = { 0 };
	const struct store_job *listed;

	buf_addf(&spec, "%s%s,\"value\":\"", front, retry + 1);
	spec.len -= strlen(",\"value\":\"") + 1; /* the brace that ended what was told */
	buf_adds(&spec, ",\"value\":\"");
	buf_addc(&result, '"');
	for (int i = 0; i < 5000; i++) {
		buf_addc(&spec, 'x');
		buf_addc(&result, 'y');
	}
	buf_adds(&spec, "\"}");
	buf_addc(&result, '"');
	buf_adds(&error, "{\"code\":\"part_failed\",\"errors\":[");
	for (int i = 0; i < 1000; i++)
		buf_adds(&error, i ? ",{\"a\":[]}" : "{\"a\":[]}");
	buf_adds(&error, "],\"job\":7}");
	job.spec = buf_terminate(&spec);
	job.spec_len = spec.len;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert_int_eq(fx_move(job.id, 0, JOB_WAITING, JOB_RUNNING), 0);
	c = fx_change(job.id, 1, JOB_RUNNING, JOB_DONE);
	c.result_json = buf_terminate(&result);
	c.error_json = buf_terminate(&error);
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	l.descending = true;
	l.limit = 1;
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	listed = l.jobs;
	ck_assert_int_eq(listed->id, job.id);
	ck_assert_str_eq(listed->spec, retry);
	ck_assert_uint_eq(listed->spec_len, spec.len);
	ck_assert_ptr_null(listed->result_json);
	ck_assert_uint_eq(listed->result_len, result.len);
	ck_assert_str_eq(listed->error_json, "{\"code\":\"part_failed\",\"errors\":[],\"job\":7}");
	ck_assert_uint_eq(listed->error_len, error.len);
	store_list_fini(&l);
	whole.ids = &job.id;
	ck_assert_int_eq(fx_run(&whole.op, STORE_GET), 0);
	ck_assert_str_eq(whole.jobs->spec, spec.data);
	ck_assert_str_eq(whole.jobs->result_json, result.data);
	ck_assert_str_eq(whole.jobs->error_json, error.data);
	store_get_fini(&whole);
	buf_fini(&error);
	buf_fini(&spec);
	buf_fini(&result);
}
END_TEST

START_TEST(an_empty_store_has_one_empty_page)
{
	struct store_list l = new_list();

	expect(l, "");
	l.descending = true;
	expect(l, "");
}
END_TEST

/* R1.3: no query holds up the writers for long; one that finds little returns with a cursor. */
START_TEST(a_search_is_bounded)
{
	enum { N = 35000 };
	static const char *const names[] = { "needle", NULL };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));
	struct store_list l = new_list();
	unsigned n_pages = 0;
	size_t n_found = 0;

	for (size_t i = 0; i < N; i++)
		jobs[i] = fx_job();
	jobs[N - 2].name = "needle";
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	free(jobs);
	l.names = names;
	do {
		ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
		n_found += l.n;
		n_pages++;
		ck_assert_int_ne(l.next, l.after);
		l.after = l.next;
		store_list_fini(&l);
	} while (l.after != 0);
	ck_assert_uint_eq(n_found, 1);
	ck_assert_uint_ge(n_pages, 4);
	ck_assert_uint_le(n_pages, 10);
}
END_TEST

/* Many searches at once: every one is answered, and writes get between them. */
START_TEST(searches_take_turns_with_writes)
{
	enum { N = 15000, N_LISTS = 8 };
	static const char *const names[] = { "needle", NULL };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs)), job = fx_job();
	struct store_insert in = { .jobs = &job, .n = 1, .at = fx_at(0) };
	struct store_list lists[N_LISTS];
	size_t want;

	for (size_t i = 0; i < N; i++)
		jobs[i] = fx_job();
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	free(jobs);
	want = fx.n_done + N_LISTS + 1;
	for (int i = 0; i < N_LISTS; i++) {
		lists[i] = new_list();
		lists[i].names = names;
		fx_submit(&lists[i].op, STORE_LIST);
	}
	loop_turn(false);
	fx_submit(&in.op, STORE_INSERT);
	while (fx.n_done < want)
		loop_turn(true);
	ck_assert_int_eq(in.op.result, 0);
	for (int i = 0; i < N_LISTS; i++) {
		ck_assert_int_eq(lists[i].op.result, 0);
		ck_assert_int_gt(lists[i].next, 0);
		store_list_fini(&lists[i]);
	}
}
END_TEST

START_TEST(a_damaged_word_ends_the_store)
{
	struct store_list l = new_list();

	fx_insert_one();
	fx_close();
	fx_raw("PRAGMA ignore_check_constraints = ON; UPDATE job SET kind = 'wormer'");
	fx_open();
	fx_submit(&l.op, STORE_LIST);
	while (fx.fatal_status == 0)
		loop_turn(true);
	ck_assert_int_eq(fx.fatal_status, EX_DATAERR);
	ck_assert_uint_eq(fx.n_done, 1); /* the insert before */
	store_list_fini(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_list");
	TCase *t = tcase_create("twelve");

	tcase_add_checked_fixture(t, setup_jobs, fx_teardown);
	tcase_add_test(t, filters);
	tcase_add_test(t, filters_by_text);
	tcase_add_test(t, pages_both_ways);
	tcase_add_test(t, a_page_ends_early_beyond_its_bytes);
	suite_add_tcase(s, t);
	t = tcase_create("other");
	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, an_empty_store_has_one_empty_page);
	tcase_add_test(t, long_values_stay_out);
	tcase_add_test(t, a_search_is_bounded);
	tcase_add_test(t, searches_take_turns_with_writes);
	tcase_add_test(t, a_damaged_word_ends_the_store);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}

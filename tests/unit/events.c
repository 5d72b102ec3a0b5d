/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/methods/methods.h"

#define FIXTURE_METHODS &method_events_subscribe, &method_events_unsubscribe,
#include "tests/unit/rpc_fixture.h"

#include "daemon/base/now.h"
#include "daemon/rpc/events.h"

/*
 * Subscriptions, over real connections, with a store and an engine of our own:
 * a list of numbered events, and a queue of queries that are answered when the
 * test says so, or at once.
 */

#define OTHER_UID ((uid_t)4711)
#define EVENTS_MAX 300000

struct fact {
	int64_t job;
	uid_t uid;
	enum job_kind kind;
	enum job_state state;
	bool is_submission, is_update;
};

static struct fact *facts; /* facts[seq - 1] */
static int64_t n_facts, pruned;
static const struct engine_listener *listener;
static struct store_op *waiting[64];
static size_t n_waiting, n_pages;
static bool holds_answers;
static size_t object_bytes; /* how long a job object is */
static int64_t running_job; /* whose record STORE_GET has */

/* ---- the store that there is not ---- */

static int dummy;

struct store *engine_store(void)
{
	return (struct store *)&dummy;
}

bool engine_is_within(int64_t id, const int64_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

void engine_listen(const struct engine_listener *l)
{
	listener = l;
}

void engine_print_job(struct buf *b, const struct store_job *rec, struct viewer viewer,
		      bool is_whole)
{
	ck_assert(viewer_may_see(viewer, rec->uid) && !is_whole);
	buf_addf(b, "{\"id\":%lld,\"state\":\"%s\",\"filler\":\"", (long long)rec->id,
		 job_state_name(rec->state));
	for (size_t i = 0; i < object_bytes; i++)
		buf_addc(b, 'x');
	buf_adds(b, "\"}");
}

void store_events_fini(struct store_events *e)
{
	free(e->events);
	e->events = NULL;
}

void store_get_fini(struct store_get *g)
{
	free(g->jobs);
	g->jobs = NULL;
}

static bool is_asked_for(const struct store_events *e, const struct fact *f)
{
	bool is_job = e->n_jobs == 0;

	for (size_t i = 0; i < e->n_jobs; i++)
		is_job |= e->jobs[i] == f->job;
	return is_job && (e->uid == STORE_ANY_UID || e->uid == f->uid) &&
	       (e->kinds == 0 || e->kinds & 1u << f->kind);
}

static void answer_events(struct store_events *e)
{
	int64_t seq = e->since;

	n_pages++;
	e->events = xcalloc(e->limit, sizeof(*e->events));
	while (seq < n_facts && e->n < e->limit) {
		const struct fact *f = &facts[seq++];

		if (!is_asked_for(e, f))
			continue;
		e->events[e->n++] = (struct store_event){
			.seq = seq,
			.time = { 1000 * seq },
			.state = f->state,
			.attempt = f->is_submission ? 0 : 1,
			.is_submission = f->is_submission,
			.is_update = f->is_update,
			.job = { .id = f->job, .uid = f->uid, .kind = f->kind, .state = f->state },
		};
	}
	e->next = seq;
	e->is_at_end = seq >= n_facts;
	if (e->is_at_end)
		e->next = n_facts;
	e->pruned_seq = pruned;
}

static void answer_get(struct store_get *g)
{
	g->jobs = xcalloc(g->n, sizeof(*g->jobs));
	for (size_t i = 0; i < g->n; i++)
		if (g->ids[i] == running_job)
			g->jobs[i] = (struct store_job){ .id = running_job,
							 .uid = geteuid(),
							 .kind = JOB_FETCH,
							 .attempt = 1,
							 .state = JOB_RUNNING };
}

static void answer(struct loop_task *task)
{
	struct store_op *op = container_of(task, struct store_op, task);

	if (op->type == STORE_EVENTS)
		answer_events((struct store_events *)op);
	else
		answer_get((struct store_get *)op);
	op->done(op);
}

static void answer_held(void)
{
	while (n_waiting > 0)
		loop_defer(&waiting[--n_waiting]->task);
	loop_run_until_idle();
}

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	op->task.fn = answer;
	if (holds_answers) {
		ck_assert_uint_lt(n_waiting, 64);
		waiting[n_waiting++] = op;
	} else {
		loop_defer(&op->task);
	}
}

/* ---- what happens ---- */

static void record(struct fact f)
{
	ck_assert_int_lt(n_facts, EVENTS_MAX);
	facts[n_facts++] = f;
	if (listener)
		listener->changed(n_facts);
}

static void happens(int64_t job, uid_t uid, enum job_kind kind, enum job_state state)
{
	record((struct fact){ .job = job, .uid = uid, .kind = kind, .state = state });
}

static void submitted(int64_t job)
{
	record((struct fact){ .job = job, .uid = geteuid(), .is_submission = true });
}

static void updated(int64_t job)
{
	record((struct fact){ .job = job, .uid = geteuid(), .is_update = true });
}

/* Time in which readers that have caught up rest passes. */
static void rest(void)
{
	loop_run_until_idle();
	now_fake_advance_us(10001);
	loop_run_until_idle();
}

static void subscribe(struct peer *p, const char *params, int64_t expected_next)
{
	struct buf b = { 0 };

	buf_addf(&b,
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\",\"params\":%s}\n",
		 params);
	peer_send(p, buf_terminate(&b));
	b.len = 0;
	buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"next\":%lld}}",
		 (long long)expected_next);
	peer_expect(p, buf_terminate(&b));
	buf_fini(&b);
}

/* The next line is an event; its number, and whether its type is @type. */
static int64_t take_event(struct peer *p, const char *type)
{
	json_t *line = peer_take(p);
	const json_t *params = json_object_get(line, "params");
	const char *got = json_string_value(json_object_get(params, "type"));
	int64_t seq = json_integer_value(json_object_get(params, "seq"));

	ck_assert_msg(line && got, "no event came, wanted %s", type);
	ck_assert_str_eq(json_string_value(json_object_get(line, "method")), "event");
	ck_assert_msg(!strcmp(got, type), "wanted %s, got %s", type, got);
	ck_assert_ptr_nonnull(json_object_get(params, "time"));
	ck_assert_ptr_nonnull(json_object_get(params, "attempt"));
	ck_assert(!strcmp(type, "resync") == json_is_null(json_object_get(params, "job")));
	json_decref(line);
	return seq;
}

/*
 * Take all submissions that come, in their order from number @next on, up to
 * another type of event.  Returns the number behind the last.
 */
static int64_t take_run(struct peer *p, int64_t next)
{
	const char *at, *end;

	peer_receive(p);
	at = buf_terminate(&p->in);
	end = p->in.data + p->in.len;
	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len =
			nl ? (size_t)(nl - at) : 0; /* not strstr(): sanitizers measure the rest */
		const char *seq = memmem(at, len, "\"seq\":", 6);
		const char *type = memmem(at, len, "\"type\":", 7);

		ck_assert(nl && seq && type);
		if (strncmp(type + 7, "\"submitted\"", 11))
			break;
		ck_assert_int_eq(strtoll(seq + 6, NULL, 10), next);
		next++;
		at = nl + 1;
	}
	buf_consume(&p->in, (size_t)(at - p->in.data));
	return next;
}

static void setup(void)
{
	fixture_setup();
	now_fake_start((struct mono){ 1000000000 }, (struct boot){ 1000000000 },
		       (struct wall){ 1000000 });
	facts = xcalloc(EVENTS_MAX, sizeof(*facts));
	n_facts = pruned = running_job = 0;
	n_waiting = n_pages = 0;
	holds_answers = false;
	object_bytes = 10;
}

static void teardown(void)
{
	fixture_teardown();
	now_fake_stop();
	ck_assert_uint_eq(events_n_subscribers(), 0);
	ck_assert_ptr_null(listener);
	free(facts);
}

/* ---- the tests ---- */

START_TEST(from_now)
{
	struct peer p;

	submitted(1);
	peer_open(&p);
	subscribe(&p, "{}", 1);
	peer_expect_nothing(&p);
	submitted(2);
	ck_assert_int_eq(take_event(&p, "submitted"), 2);
	peer_close(&p);
}
END_TEST

START_TEST(from_the_beginning_and_from_a_number)
{
	struct peer p, q;

	for (int i = 1; i <= 250; i++)
		submitted(i);
	peer_open(&p);
	subscribe(&p, "{\"since\":0}", 0);
	for (int i = 1; i <= 250; i++)
		ck_assert_int_eq(take_event(&p, "submitted"), i);
	peer_expect_nothing(&p);
	peer_open(&q);
	subscribe(&q, "{\"since\":249}", 249);
	ck_assert_int_eq(take_event(&q, "submitted"), 250);
	peer_expect_nothing(&q);
	peer_close(&p);
	peer_close(&q);
}
END_TEST

START_TEST(types)
{
	const uid_t me = geteuid();
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{}", 0);
	submitted(1);
	updated(1);
	happens(1, me, JOB_TIMER, JOB_RUNNING);
	happens(1, me, JOB_TIMER, JOB_WAITING);
	happens(1, me, JOB_TIMER, JOB_STOPPING);
	happens(1, me, JOB_TIMER, JOB_DONE);
	ck_assert_int_eq(take_event(&p, "submitted"), 1);
	ck_assert_int_eq(take_event(&p, "changed"), 2);
	ck_assert_int_eq(take_event(&p, "running"), 3);
	ck_assert_int_eq(take_event(&p, "waiting"), 4);
	ck_assert_int_eq(take_event(&p, "stopping"), 5);
	ck_assert_int_eq(take_event(&p, "done"), 6);
	peer_close(&p);
}
END_TEST

START_TEST(the_whole_event)
{
	struct peer p;

	object_bytes = 1;
	peer_open(&p);
	subscribe(&p, "{}", 0);
	happens(7, geteuid(), JOB_TIMER, JOB_RUNNING);
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"seq\":1,"
			"\"time\":\"1970-01-01T00:00:01.000Z\",\"type\":\"running\",\"attempt\":1,"
			"\"job\":{\"id\":7,\"state\":\"running\",\"filler\":\"x\"}}}");
	peer_close(&p);
}
END_TEST

START_TEST(filters)
{
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{\"jobs\":[2,3],\"kinds\":[\"timer\",\"worker\"]}", 0);
	for (int job = 1; job <= 3; job++)
		for (int kind = 0; kind < N_JOB_KINDS; kind++)
			happens(job, geteuid(), (enum job_kind)kind, JOB_RUNNING);
	rest();
	ck_assert_int_eq(take_event(&p, "running"), N_JOB_KINDS + JOB_TIMER + 1);
	ck_assert_int_eq(take_event(&p, "running"), N_JOB_KINDS + JOB_WORKER + 1);
	ck_assert_int_eq(take_event(&p, "running"), 2 * N_JOB_KINDS + JOB_TIMER + 1);
	ck_assert_int_eq(take_event(&p, "running"), 2 * N_JOB_KINDS + JOB_WORKER + 1);
	peer_expect_nothing(&p);
	peer_close(&p);
}
END_TEST

START_TEST(other_peoples_jobs)
{
	struct peer theirs, roots;

	peer_open_as(&theirs, OTHER_UID);
	peer_open_as(&roots, 0);
	subscribe(&theirs, "{}", 0);
	subscribe(&roots, "{}", 0);
	happens(1, 99, JOB_TIMER, JOB_RUNNING);
	happens(2, OTHER_UID, JOB_TIMER, JOB_RUNNING);
	rest();
	ck_assert_int_eq(take_event(&theirs, "running"), 2);
	peer_expect_nothing(&theirs);
	ck_assert_int_eq(take_event(&roots, "running"), 1);
	ck_assert_int_eq(take_event(&roots, "running"), 2);
	peer_close(&theirs);
	peer_close(&roots);
}
END_TEST

START_TEST(wrong_params)
{
	struct peer p;

#define SUBSCRIBE(params) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\",\"params\":" params "}\n"
	peer_open(&p);
	peer_send(&p, SUBSCRIBE("{\"since\":-1}"));
	peer_expect_error(&p, "1", -32602, "/since");
	peer_send(&p, SUBSCRIBE("{\"jobs\":[]}"));
	peer_expect_error(&p, "1", -32602, "/jobs");
	peer_send(&p, SUBSCRIBE("{\"kinds\":[\"timer\",\"clock\"]}"));
	peer_expect_error(&p, "1", -32602, "/kinds/1");
	peer_send(&p, SUBSCRIBE("{\"after\":3}"));
	peer_expect_error(&p, "1", -32602, "/after");
	ck_assert_uint_eq(events_n_subscribers(), 0);
	peer_close(&p);
}
END_TEST

/* A number that this store has not dealt yet: the reader must not wait for it. */
START_TEST(a_number_from_elsewhere)
{
	struct peer p;

	submitted(1);
	peer_open(&p);
	subscribe(&p, "{\"since\":500}", 500);
	ck_assert_int_eq(take_event(&p, "resync"), 1);
	submitted(2);
	ck_assert_int_eq(take_event(&p, "submitted"), 2);
	peer_close(&p);
}
END_TEST

/* What was removed is missing; the rest comes all the same, and the note once. */
START_TEST(pruned_history)
{
	struct peer p;

	for (int i = 1; i <= 250; i++)
		submitted(i);
	pruned = 240;
	peer_open(&p);
	subscribe(&p, "{\"since\":3}", 3);
	ck_assert_int_eq(take_event(&p, "resync"), 3);
	for (int i = 4; i <= 250; i++)
		ck_assert_int_eq(take_event(&p, "submitted"), i);
	peer_expect_nothing(&p);
	/* It has read all that: what is removed now it does not miss. */
	rest();
	pruned = 250;
	submitted(251);
	ck_assert_int_eq(take_event(&p, "submitted"), 251);
	peer_expect_nothing(&p);
	peer_close(&p);
}
END_TEST

/* A reader that stops costs no more than one full buffer, and goes on where it was. */
START_TEST(a_slow_reader_misses_nothing)
{
	enum { N = 20000 };
	struct conn_stats stats;
	struct peer p;
	size_t pages;

	object_bytes = 1000;
	peer_open(&p);
	subscribe(&p, "{}", 0);
	for (int i = 1; i <= N; i++) {
		submitted(i);
		if (i % 100 == 0)
			rest();
	}
	conn_stats(&stats);
	ck_assert_uint_lt(stats.n_buffered_bytes, 512 * 1024);
	pages = n_pages;
	rest();
	ck_assert_uint_eq(n_pages, pages);
	/* Neither is it dropped for what it does not read. */
	now_fake_advance_us(60 * INT64_C(1000000));
	loop_run_until_idle();
	ck_assert_int_eq(take_run(&p, 1), N + 1);
	rest();
	peer_expect_nothing(&p);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_dropped, n_dropped_before);
	peer_close(&p);
}
END_TEST

START_TEST(too_slow_a_reader_is_told)
{
	struct peer p;

	object_bytes = 1000;
	peer_open(&p);
	subscribe(&p, "{}", 0);
	submitted(1);
	ck_assert_int_eq(take_event(&p, "submitted"), 1);
	rest();
	for (int i = 2; i <= 150000; i++) {
		submitted(i);
		if (i % 1000 == 0)
			rest();
	}
	ck_assert_int_lt(take_run(&p, 2), 10000);
	ck_assert_int_eq(take_event(&p, "resync"), 150000);
	peer_expect_nothing(&p);
	submitted(7);
	rest();
	ck_assert_int_eq(take_event(&p, "submitted"), 150001);
	peer_close(&p);
}
END_TEST

/* Whoever asks for the whole history gets it, however long it is. */
START_TEST(a_long_history_is_no_lag)
{
	struct peer p;

	for (int i = 1; i <= 150000; i++)
		submitted(i);
	peer_open(&p);
	subscribe(&p, "{\"since\":0}", 0);
	ck_assert_int_eq(take_run(&p, 1), 150001);
	peer_close(&p);
}
END_TEST

/* Events while the page is under way, before it is looked at and after. */
START_TEST(no_gap_while_reading)
{
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{}", 0);
	holds_answers = true;
	for (int i = 1; i <= 500; i++) {
		submitted(i);
		loop_run_until_idle();
		if (i % 7 == 0)
			answer_held();
		if (i % 5 == 0)
			now_fake_advance_us(10001);
	}
	holds_answers = false;
	answer_held();
	rest();
	for (int i = 1; i <= 500; i++)
		ck_assert_int_eq(take_event(&p, "submitted"), i);
	peer_expect_nothing(&p);
	peer_close(&p);
}
END_TEST

/* A burst is read in pages, not event by event. */
START_TEST(a_burst_is_few_pages)
{
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{}", 0);
	submitted(1);
	loop_run_until_idle();
	n_pages = 0;
	for (int i = 2; i <= 1001; i++) {
		submitted(i);
		loop_run_until_idle();
	}
	ck_assert_uint_eq(n_pages, 0);
	rest();
	ck_assert_uint_eq(n_pages, 10);
	peer_close(&p);
}
END_TEST

START_TEST(a_second_one_takes_the_place)
{
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{\"jobs\":[1]}", 0);
	subscribe(&p, "{\"jobs\":[2]}", 0);
	ck_assert_uint_eq(events_n_subscribers(), 1);
	submitted(1);
	submitted(2);
	rest();
	ck_assert_int_eq(take_event(&p, "submitted"), 2);
	peer_expect_nothing(&p);
	peer_close(&p);
}
END_TEST

START_TEST(unsubscribe)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"events.unsubscribe\"}\n";
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{}", 0);
	holds_answers = true;
	submitted(1);
	loop_run_until_idle();
	ck_assert_uint_eq(n_waiting, 1);
	peer_send(&p, text);
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	answer_held();
	submitted(2);
	peer_expect_nothing(&p);
	ck_assert_ptr_null(listener);
	/* Once more is no error. */
	peer_send(&p, text);
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	peer_close(&p);
}
END_TEST

START_TEST(the_peer_goes_while_reading)
{
	struct peer p, q;

	peer_open(&p);
	subscribe(&p, "{}", 0);
	holds_answers = true;
	submitted(1);
	loop_run_until_idle();
	peer_close(&p);
	peer_open(&q);
	peer_send(&q,
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\",\"params\":{}}\n");
	peer_close(&q);
	ck_assert_uint_eq(n_waiting, 2);
	answer_held();
	ck_assert_uint_eq(events_n_subscribers(), 0);
}
END_TEST

/* "nc -N": who says no more may still listen. */
START_TEST(a_half_closed_connection_listens)
{
	struct peer p;

	peer_open(&p);
	subscribe(&p, "{}", 0);
	ck_assert_int_eq(shutdown(p.fd, SHUT_WR), 0);
	peer_expect_nothing(&p);
	submitted(1);
	ck_assert_int_eq(take_event(&p, "submitted"), 1);
	peer_close(&p);
	/* That it is gone altogether is looked for. */
	now_fake_advance_us(1000001);
	loop_run_until_idle();
	ck_assert_uint_eq(events_n_subscribers(), 0);
}
END_TEST

START_TEST(progress)
{
	struct peer p, q;

	running_job = 5;
	submitted(5);
	peer_open(&p);
	peer_open(&q);
	subscribe(&p, "{}", 1);
	subscribe(&q, "{\"jobs\":[6]}", 1);
	/* Often, and of a job that is gone by the time it would be told. */
	for (int i = 0; i < 1000; i++) {
		listener->progressed(5);
		listener->progressed(4);
		now_fake_advance_us(1000);
		loop_run_until_idle();
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(take_event(&p, "progress"), 1);
	now_fake_advance_us(250001);
	loop_run_until_idle();
	ck_assert_int_eq(take_event(&p, "progress"), 1);
	now_fake_advance_us(1000000);
	peer_expect_nothing(&p);
	peer_expect_nothing(&q);
	peer_close(&p);
	peer_close(&q);
}
END_TEST

START_TEST(progress_of_very_many)
{
	struct peer p;

	running_job = 500;
	peer_open(&p);
	subscribe(&p, "{}", 0);
	for (int i = 1000; i > 0; i--)
		listener->progressed(i);
	now_fake_advance_us(250001);
	peer_expect_nothing(&p);
	listener->progressed(500);
	now_fake_advance_us(250001);
	ck_assert_int_eq(take_event(&p, "progress"), 0);
	peer_close(&p);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, from_now);
	tcase_add_test(t, from_the_beginning_and_from_a_number);
	tcase_add_test(t, types);
	tcase_add_test(t, the_whole_event);
	tcase_add_test(t, filters);
	tcase_add_test(t, other_peoples_jobs);
	tcase_add_test(t, wrong_params);
	tcase_add_test(t, a_number_from_elsewhere);
	tcase_add_test(t, pruned_history);
	tcase_add_test(t, a_slow_reader_misses_nothing);
	tcase_add_test(t, too_slow_a_reader_is_told);
	tcase_add_test(t, a_long_history_is_no_lag);
	tcase_add_test(t, no_gap_while_reading);
	tcase_add_test(t, a_burst_is_few_pages);
	tcase_add_test(t, a_second_one_takes_the_place);
	tcase_add_test(t, unsubscribe);
	tcase_add_test(t, the_peer_goes_while_reading);
	tcase_add_test(t, a_half_closed_connection_listens);
	tcase_add_test(t, progress);
	tcase_add_test(t, progress_of_very_many);
}

int main(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_tests(t);
	return suite_run(s);
}

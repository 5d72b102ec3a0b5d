/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/base/list.h"
#include "daemon/store/db.h"
#include "daemon/store/remove.h"

/*
 * The store's thread and its group commit (R1.3).  A round takes what has
 * gathered, writes it in one transaction, answers, then runs the queries.
 */

#define ROWS_PER_COMMIT 1000
#define QUERY_ROWS 10000 /* looked at by one query, and after as many the next writes come first */
#define IDLE_CHECKPOINT_MS 5000
#define FULL_RETRY_MS 100
#define LOW_LOOK_MS 500
#define SHORT_WAIT_NS INT64_C(150000)
#define SPIN_NS INT64_C(100000)
#define SPINS_MAX 10000			/* should the clock stand still */
#define CHORE_WAIT_NS INT64_C(10000000) /* for a moment when there is nothing else to do */

static void relax_processor(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool has_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

/* ---- answers ---- */

static void answer(struct op_list *list)
{
	if (list->first)
		loop_post_chain(&list->first->task, &list->last->task);
	list->first = NULL;
}

/* Say once, on the loop, that nothing more will be answered. */
static void give_up(struct store *s, int rc)
{
	int status = db_exit_status(rc) == EX_DATAERR ? EX_DATAERR : EX_IOERR;

	if (s->backup)
		backup_cancel(s); /* and tell nobody */
	db_rollback(s->db);
	snprintf(s->fatal_message, sizeof(s->fatal_message), "%s: %s (%d)", s->path,
		 sqlite3_errstr(rc), rc);
	s->fatal_status = status;
	loop_post(&s->fatal_task);
}

/* ---- what the loop may see ---- */

/* Before the answers, so that whoever has one finds it counted. */
static void publish(struct store *s, struct mono began, size_t n_rows)
{
	int64_t us = (now_mono().ns - began.ns) / 1000;
	struct store_stats *f = &s->figures;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < N_JOB_STATES; i++)
		f->by_state[i] = (uint64_t)s->committed.by_state[i];
	for (int i = 0; i < N_JOB_OUTCOMES; i++)
		f->by_outcome[i] = (uint64_t)s->committed.by_outcome[i];
	f->kept_bytes = s->committed.kept_bytes;
	f->last_seq = s->committed.next_seq - 1;
	f->n_commits++;
	f->n_rows += n_rows;
	f->commit_last_us = us;
	if (us > f->commit_max_us)
		f->commit_max_us = us;
	pthread_mutex_unlock(&s->lock);
}

/* ---- one transaction ---- */

/* The first transaction after the start also says that the file is in use, and by which boot. */
static int mark_used(struct store *s)
{
	sqlite3_stmt *meta = store_sql(s, SQL_META_SET), *boot = store_sql(s, SQL_BOOT_INSERT);
	int rc;

	if (s->is_marked)
		return SQLITE_OK;
	sql_text(meta, 1, "clean");
	sql_int(meta, 2, 0);
	rc = sql_run(meta);
	if (rc != SQLITE_OK || s->is_boot_known || s->boot_n == 0)
		return rc;
	sql_int(boot, 1, s->boot_n);
	sql_text(boot, 2, now_boot_id());
	return sql_run(boot);
}

static int write_one(struct store *s, struct store_op *op)
{
	switch (op->type) {
	case STORE_INSERT:
		return insert_run(s, (struct store_insert *)op);
	case STORE_CHANGE:
		return change_run(s, (struct store_change *)op);
	case STORE_NOTE:
		return change_note(s, (struct store_note *)op);
	case STORE_REMOVE:
		return remove_run(s, (struct store_remove *)op);
	case STORE_QUEUE:
		return change_queue(s, (struct store_queue *)op);
	case STORE_UPDATE:
		return update_run(s, (struct store_update *)op);
	case STORE_ASK:
		return update_ask(s, (struct store_ask *)op);
	case STORE_PRUNE:
		return prune_run(s, (struct store_prune *)op);
	case STORE_SWEEP:
		return prune_sweep(s, (struct store_sweep *)op);
	case STORE_LOAD:
	case STORE_GET:
	case STORE_LIST:
	case STORE_SCOPE:
	case STORE_EVENTS:
	case STORE_BACKUP:
	case N_STORE_OPS:
		break;
	}
	assert(!"a query among the writes");
	return SQLITE_INTERNAL;
}

static size_t rows_of(const struct store_op *op)
{
	return op->type == STORE_INSERT ? ((const struct store_insert *)op)->n : 1;
}

static struct store_op *next_of(const struct store_op *op)
{
	return op->task.next ? container_of(op->task.next, struct store_op, task) : NULL;
}

static int write_all(struct store *s, const struct op_list *list)
{
	int rc = mark_used(s);

	if (rc == SQLITE_OK && !list->first)
		rc = sql_run(store_sql(s, SQL_PROBE));
	for (struct store_op *op = list->first; op && rc == SQLITE_OK; op = next_of(op))
		rc = write_one(s, op);
	if (rc == SQLITE_OK && tally_is_due(&s->tally))
		rc = tally_store(&s->tally, store_sql(s, SQL_TALLY_SET));
	return rc;
}

/* What is in memory is as in the file again.  An error in that is the worse one. */
static void undo(struct store *s, int *rc)
{
	int r;

	db_rollback(s->db);
	s->tally = s->committed;
	r = db_is_full(*rc) ? doom_load(s) : SQLITE_OK;
	if (r != SQLITE_OK)
		*rc = r;
}

/*
 * All of @list or nothing.  An empty list tries whether the disk takes
 * anything again.  Returns an SQLite code.
 */
static int transact(struct store *s, const struct op_list *list)
{
	struct mono began = now_mono();
	size_t n_rows = 0;
	int rc = sql_run(store_sql(s, SQL_BEGIN));

	if (rc == SQLITE_OK)
		rc = write_all(s, list);
	if (rc == SQLITE_OK)
		rc = sql_run(store_sql(s, SQL_COMMIT));
	rc = db_judge_write(s->db, false, rc);
	if (rc != SQLITE_OK) {
		undo(s, &rc);
		return rc;
	}
	s->committed = s->tally;
	s->is_marked = true;
	s->is_boot_known = true;
	for (const struct store_op *op = list->first; op; op = next_of(op))
		n_rows += rows_of(op);
	publish(s, began, n_rows);
	return SQLITE_OK;
}

/* ---- the log ---- */

static int try_checkpoint(struct store *s, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, mode, NULL, NULL);

	return db_judge_write(s->db, true, rc);
}

/*
 * Not left to SQLite's own automatic one, which swallows errors: after a
 * failed sync a second try would succeed without having written (R1.5).
 * Nor is the log truncated: growing it again would cost every commit.
 */
static int checkpoint(struct store *s, int mode)
{
	int rc = try_checkpoint(s, mode);

	/* The database grows by what the reserve was. */
	if (db_is_full(rc) && room_give_reserve(s))
		rc = try_checkpoint(s, mode);
	if (rc == SQLITE_OK)
		s->wal_frames = 0;
	return db_is_full(rc) ? SQLITE_OK : rc;
}

/* Five sixths of the log are used: the rest is for the next transaction. */
static bool is_log_used_up(const struct store *s)
{
	return s->wal_frames >= s->room.wal_bytes / WAL_FRAME_BYTES * 5 / 6;
}

/* ---- a full disk (R1.6) ---- */

/* Is nothing but new jobs asked for, up to the last of those that belong together with @op? */
static bool is_refusable(const struct store_op *op)
{
	while (op->type == STORE_INSERT && op->is_with_next && next_of(op))
		op = next_of(op);
	return op->type == STORE_INSERT;
}

/* New jobs are refused; what concerns those that exist goes to @rest. */
static void refuse_new(struct op_list *list, struct op_list *rest)
{
	struct op_list refused = { 0 };

	while (list->first) {
		bool is_refused = is_refusable(list->first), is_with_next = true;

		while (list->first && is_with_next) {
			struct store_op *op = op_list_pop(list);

			is_with_next = op->is_with_next;
			op->result = is_refused ? -ENOSPC : 0;
			op_list_add(is_refused ? &refused : rest, op);
		}
	}
	answer(&refused);
}

static void set_full(struct store *s)
{
	s->retry_at = mono_in_us(FULL_RETRY_MS * 1000);
	room_set_full(s, true);
}

/* The first of @list, about @max_rows of them: what belongs together stays together. */
static struct op_list take_some(struct op_list *list, size_t max_rows)
{
	struct op_list some = { 0 };
	bool is_with_next = false;
	size_t n_rows = 0;

	while (list->first && (n_rows < max_rows || is_with_next)) {
		struct store_op *op = op_list_pop(list);

		op_list_add(&some, op);
		n_rows += rows_of(op);
		is_with_next = op->is_with_next;
	}
	return some;
}

/*
 * Removals make room for the rest.  They may go first: who asked for them has
 * seen the end of those jobs, so it is stored already.
 */
static void removals_first(struct op_list *list)
{
	struct op_list removals = { 0 }, rest = { 0 };

	while (list->first) {
		struct op_list group = take_some(list, 1);

		op_list_append(group.first->type == STORE_REMOVE ? &removals : &rest, &group);
	}
	op_list_append(list, &removals);
	op_list_append(list, &rest);
}

static bool has_more_than_removals(const struct op_list *list)
{
	for (const struct store_op *op = list->first; op; op = next_of(op))
		if (op->type != STORE_REMOVE)
			return true;
	return false;
}

/*
 * Store what was kept, at worst one by one; with nothing kept, try whether the
 * disk takes anything again.  An SQLite code; with 0 the disk is not full now.
 */
static int store_kept(struct store *s)
{
	size_t max_rows = ROWS_PER_COMMIT;
	int rc = SQLITE_OK;

	/* When all of the log is in the database it begins anew, and need not grow. */
	if (s->wal_frames > 0)
		rc = checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
	removals_first(&s->kept);
	while (rc == SQLITE_OK) {
		struct op_list some = take_some(&s->kept, max_rows);

		rc = has_more_than_removals(&some) && room_is_tight(s) ? SQLITE_FULL
								       : transact(s, &some);
		if (rc == SQLITE_OK) {
			bool is_last = !s->kept.first;

			/* Before the answers, so that whoever has one finds it so. */
			if (is_last)
				room_set_full(s, false);
			answer(&some);
			if (is_last)
				break;
			if (is_log_used_up(s))
				rc = checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
			continue;
		}
		op_list_append(&some, &s->kept);
		s->kept = some;
		if (!db_is_full(rc) || max_rows == 1)
			break;
		max_rows /= 10;
		rc = SQLITE_OK;
	}
	return rc;
}

/*
 * Try what was kept, which is older than all else.  false: the disk is still
 * full, or *ret_rc is not 0.
 */
static bool try_again(struct store *s, int *ret_rc)
{
	int rc;

	if (now_mono().ns < s->retry_at.ns)
		return false;
	if (!s->kept.first && !room_may_probe(s)) {
		set_full(s);
		return false;
	}
	rc = store_kept(s);
	if (rc == SQLITE_OK)
		return true;
	if (db_is_full(rc))
		set_full(s);
	else
		*ret_rc = rc;
	return false;
}

/* The disk is full: what of @writes is not refused is kept, and the reserve may take it at once. */
static int on_full(struct store *s, struct op_list *writes)
{
	int rc = SQLITE_OK;

	(void)room_give_reserve(s);
	set_full(s);
	refuse_new(writes, &s->kept);
	s->retry_at.ns = 0;
	try_again(s, &rc);
	return rc;
}

/* An SQLite code that ends the store, or 0. */
static int commit(struct store *s, struct op_list *writes)
{
	struct op_list rest = { 0 };
	int rc = SQLITE_OK;

	if (s->is_full && !try_again(s, &rc)) {
		if (rc == SQLITE_OK)
			refuse_new(writes, &s->kept);
		return rc;
	}
	if (room_is_low(s)) {
		refuse_new(writes, &rest);
		writes = &rest;
	}
	if (!writes->first)
		return SQLITE_OK;
	if (s->room.is_low && room_is_tight(s))
		return on_full(s, writes);
	rc = transact(s, writes);
	if (rc == SQLITE_OK)
		answer(writes);
	else if (db_is_full(rc))
		rc = on_full(s, writes);
	return rc;
}

/* ---- what waits until there is nothing else to do ---- */

static bool is_chore(const struct store_op *op)
{
	return op->type == STORE_PRUNE || op->type == STORE_SWEEP;
}

static void add_chore(struct store *s, struct store_op *op)
{
	assert(!op->is_with_next);
	if (!s->chores.first)
		s->chores_since = now_mono();
	op_list_add(&s->chores, op);
}

static bool has_other_work(struct store *s)
{
	bool has;

	pthread_mutex_lock(&s->lock);
	has = s->todo.first || s->reads.first || s->inbox.first;
	pthread_mutex_unlock(&s->lock);
	return has;
}

/*
 * One of them, in a transaction of its own, while nobody waits; or because it
 * has waited for long, since on a busy machine history grows fastest: a hundred
 * times a second a hundred jobs, which leaves most of the time to others.
 */
static int run_chore(struct store *s)
{
	struct op_list one = { 0 };
	int rc = SQLITE_OK;

	if (!s->chores.first)
		return rc;
	if (has_other_work(s) && now_mono().ns - s->chores_since.ns < CHORE_WAIT_NS)
		return rc;
	op_list_add(&one, op_list_pop(&s->chores));
	s->chores_since = now_mono();
	if (!s->is_full)
		rc = transact(s, &one);
	if (db_is_full(rc))
		set_full(s);
	else if (rc != SQLITE_OK)
		return rc;
	if (s->is_full)
		one.first->result = -ENOSPC;
	answer(&one);
	return SQLITE_OK;
}

/* ---- a round ---- */

/* As many writes as one transaction takes, and the queries between them. */
static void take_writes(struct store *s, struct op_list *writes)
{
	bool is_with_next = false;
	size_t n_rows = 0;

	while (s->todo.first && (n_rows < ROWS_PER_COMMIT || is_with_next)) {
		struct store_op *op = op_list_pop(&s->todo);

		if (query_is(op->type) || op->type == STORE_BACKUP) {
			op_list_add(&s->reads, op);
		} else if (is_chore(op)) {
			add_chore(s, op);
		} else {
			op_list_add(writes, op);
			n_rows += rows_of(op);
			is_with_next = op->is_with_next;
		}
	}
	assert(!is_with_next); /* hand_over() keeps them together */
}

/* One that reads.  true: it can be answered, unless *ret_rc is not 0. */
static bool run_read(struct store *s, struct store_op *op, int *budget, int *ret_rc)
{
	int left = QUERY_ROWS;

	if (op->type == STORE_BACKUP)
		return backup_begin(s, container_of(op, struct store_backup, op));
	*ret_rc = query_run(s, op, &left);
	*budget -= QUERY_ROWS - left + 1;
	return true;
}

static int run_reads(struct store *s)
{
	struct op_list answered = { 0 };
	int budget = QUERY_ROWS;
	int rc = SQLITE_OK;

	while (s->reads.first && budget > 0 && rc == SQLITE_OK) {
		struct store_op *op = op_list_pop(&s->reads);

		if (run_read(s, op, &budget, &rc))
			op_list_add(&answered, op);
	}
	if (rc == SQLITE_OK)
		answer(&answered);
	return rc;
}

/* The next pages of a copy that is being made. */
static void run_backup(struct store *s)
{
	struct op_list answered = { 0 };
	struct store_backup *b = s->backup;

	if (!b || !backup_slice(s))
		return;
	op_list_add(&answered, &b->op);
	answer(&answered);
}

/*
 * Nobody waits.  Shrink a log that a large transaction has made long; what is
 * laid out in advance stays as it is.  While space is short, what the log has
 * nobody else can take.
 */
static int idle_checkpoint(struct store *s)
{
	bool is_long = s->is_log_long && !s->room.is_low;
	int rc = checkpoint(s, is_long ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE);

	s->wal_frames = 0; /* one that could not finish waits for the next commit */
	if (rc != SQLITE_OK || !is_long)
		return rc;
	s->is_log_long = false;
	rc = db_lay_out_wal(s->db, s->room.wal_bytes);
	return db_is_full(rc) ? SQLITE_OK : rc;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int n_frames)
{
	struct store *s = arg;

	(void)db;
	(void)name;
	s->wal_frames = n_frames;
	s->is_log_long |= n_frames > s->room.wal_bytes / WAL_FRAME_BYTES;
	return SQLITE_OK;
}

static int round_trip(struct store *s)
{
	struct op_list writes = { 0 };
	int rc = SQLITE_OK;

	take_writes(s, &writes);
	if (writes.first || s->is_full)
		rc = commit(s, &writes);
	if (rc == SQLITE_OK)
		rc = run_reads(s);
	if (rc == SQLITE_OK && is_log_used_up(s))
		rc = checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
	if (rc == SQLITE_OK)
		run_backup(s);
	return rc == SQLITE_OK ? run_chore(s) : rc;
}

/* ---- waiting ---- */

/* Is there something for idle_checkpoint() to do? */
static bool has_log(const struct store *s)
{
	return s->wal_frames > 0 || s->is_log_long;
}

static int wait_ms(const struct store *s)
{
	if (s->is_full)
		return FULL_RETRY_MS;
	if (s->room.is_low)
		return LOW_LOOK_MS;
	return s->has_worked && has_log(s) ? IDLE_CHECKPOINT_MS : -1;
}

/*
 * Who submits one job at a time comes back within a tenth of a millisecond, and
 * to put a processor to sleep and wake it takes a good part of that.  So when
 * the last wait was short, the next one begins with looking; with one processor
 * never, since there it would keep the others from going on.
 */
static bool may_spin(const struct store *s)
{
	return s->was_short_wait && s->has_processors;
}

static bool spin_until_woken(struct store *s)
{
	struct mono began = now_mono();

	for (int n = 0; n < SPINS_MAX && now_mono().ns - began.ns < SPIN_NS; n++) {
		if (!atomic_load_explicit(&s->is_asleep, memory_order_acquire))
			return true;
		relax_processor();
	}
	return false;
}

static bool block_until_woken(struct store *s)
{
	int timeout_ms = wait_ms(s), r = 0;
	struct timespec until = now_timespec_in_ms(timeout_ms);
	bool is_late;

	pthread_mutex_lock(&s->lock);
	while (s->is_asleep && r == 0)
		r = timeout_ms < 0 ? pthread_cond_wait(&s->wake, &s->lock)
				   : pthread_cond_timedwait(&s->wake, &s->lock, &until);
	is_late = s->is_asleep;
	s->is_asleep = false;
	pthread_mutex_unlock(&s->lock);
	return !is_late;
}

/* false: nothing came in time. */
static bool sleep_until_woken(struct store *s)
{
	struct mono began = now_mono();
	bool is_woken = (may_spin(s) && spin_until_woken(s)) || block_until_woken(s);

	s->was_short_wait = now_mono().ns - began.ns < SHORT_WAIT_NS;
	return is_woken;
}

/* Take what has gathered.  true: there is work, or @ret_stop; false: go to sleep. */
static bool take(struct store *s, bool *ret_stop)
{
	bool has_work;

	pthread_mutex_lock(&s->lock);
	op_list_append(&s->todo, &s->inbox);
	has_work = s->todo.first || s->reads.first;
	*ret_stop = s->is_stopping && !has_work;
	has_work |= (s->backup && !s->is_backup_held) || s->chores.first; /* a stop gives them up */
	s->is_asleep = !has_work && !*ret_stop;
	pthread_mutex_unlock(&s->lock);
	return has_work || *ret_stop;
}

/* The time for what needs no request has come: a retry, or a checkpoint while nobody waits. */
static int on_idle(struct store *s)
{
	if (s->is_full)
		return round_trip(s);
	if (s->room.is_low)
		(void)room_is_low(s);
	return has_log(s) ? idle_checkpoint(s) : SQLITE_OK;
}

/* At the end: one last try; what cannot be kept is told so. */
static int finish(struct store *s)
{
	struct op_list answered = { 0 };
	int rc = SQLITE_OK;

	if (s->backup) {
		op_list_add(&answered, &s->backup->op);
		backup_cancel(s);
	}
	for (struct store_op *op = s->chores.first; op; op = next_of(op))
		op->result = -ECANCELED;
	op_list_append(&answered, &s->chores);
	answer(&answered);
	if (!s->is_full)
		return rc;
	s->retry_at.ns = 0;
	try_again(s, &rc);
	for (struct store_op *op = s->kept.first; op && rc == SQLITE_OK; op = next_of(op))
		op->result = -ENOSPC;
	if (rc == SQLITE_OK)
		answer(&s->kept);
	return rc;
}

void *thread_main(void *arg)
{
	struct store *s = arg;
	bool stop = false;
	int rc = SQLITE_OK;

	s->has_processors = has_processors();
	while (!stop && rc == SQLITE_OK) {
		if (!take(s, &stop)) {
			if (!sleep_until_woken(s))
				rc = on_idle(s);
			continue;
		}
		if (!s->has_worked)
			sqlite3_wal_hook(s->db, on_wal, s);
		s->has_worked = true;
		rc = stop ? finish(s) : round_trip(s);
	}
	if (rc != SQLITE_OK)
		give_up(s, rc);
	return NULL;
}

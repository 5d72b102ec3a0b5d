/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/base/list.h"
#include "daemon/store/db.h"
#include "daemon/store/guard.h"
#include "daemon/store/remove.h"
#include "daemon/store/store_int.h"
#include "proto/xalloc.h"

/* ---- lists of requests ---- */

void op_list_add(struct op_list *list, struct store_op *op)
{
	op->task.next = NULL;
	if (list->first)
		list->last->task.next = &op->task;
	else
		list->first = op;
	list->last = op;
}

void op_list_append(struct op_list *list, struct op_list *more)
{
	if (!more->first)
		return;
	if (list->first)
		list->last->task.next = &more->first->task;
	else
		list->first = more->first;
	list->last = more->last;
	more->first = NULL;
}

struct store_op *op_list_pop(struct op_list *list)
{
	struct store_op *op = list->first;

	if (op)
		list->first =
			op->task.next ? container_of(op->task.next, struct store_op, task) : NULL;
	return op;
}

/* ---- log ---- */

void store_log(const struct store *s, int priority, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!s->options.log)
		return;
	va_start(ap, fmt);
	if (vsnprintf(line, sizeof(line), fmt, ap) >= 0)
		s->options.log(priority, line);
	va_end(ap);
}

/* ---- submitting ---- */

/*
 * A burst is handed over in portions, so that the thread writes the first
 * while the loop still parses the last: one client that pipelines would
 * otherwise wait for the two in turn.
 */
#define HAND_OVER 8

void store_wake(struct store *s)
{
	bool was_asleep = s->is_asleep;

	s->is_asleep = false;
	pthread_mutex_unlock(&s->lock);
	/* Only now: woken before, it would find the lock taken and sleep once more. */
	if (was_asleep)
		pthread_cond_signal(&s->wake);
}

static void hand_over(struct store *s)
{
	assert(!s->is_with_next); /* its next one comes in the same turn */
	pthread_mutex_lock(&s->lock);
	s->n_outbox = 0;
	op_list_append(&s->inbox, &s->outbox);
	store_wake(s);
}

/* At the latest once per turn of the loop: hand over what was submitted in it. */
static void on_flush(struct loop_task *task)
{
	struct store *s = container_of(task, struct store, flush_task);

	s->is_started = true;
	free(s->groups);
	s->groups = NULL;
	s->n_groups = s->size_groups = 0;
	hand_over(s);
}

/* A request has come back. */
static void on_answered(struct loop_task *task)
{
	struct store_op *op = container_of(task, struct store_op, task);
	struct store *s = op->store;

	s->n_unanswered--;
	op->done(op); /* may free it */
}

void store_submit(struct store *s, struct store_op *op)
{
	op->store = s;
	op->task.fn = on_answered;
	op->result = 0;
	s->n_unanswered++;
	op_list_add(&s->outbox, op);
	if (op_is_write(op->type))
		s->is_with_next = op->is_with_next;
	if (++s->n_outbox >= HAND_OVER && s->is_started && !s->is_with_next)
		hand_over(s);
	else
		loop_defer(&s->flush_task);
}

/* The thread has given up: it answers nothing more. */
static void on_fatal(struct loop_task *task)
{
	struct store *s = container_of(task, struct store, fatal_task);

	s->is_fatal_told = true;
	s->options.on_fatal(s->fatal_status, s->fatal_message);
}

/* Perhaps there and back meanwhile: then it is told twice what it is. */
static void on_room(struct loop_task *task)
{
	struct store *s = container_of(task, struct store, room_task);
	bool is_degraded;

	pthread_mutex_lock(&s->lock);
	s->is_room_posted = false;
	is_degraded = s->figures.is_degraded;
	pthread_mutex_unlock(&s->lock);
	if (s->options.on_degraded)
		s->options.on_degraded(is_degraded);
}

/* ---- figures ---- */

static bool get_flag(struct store *s, const bool *flag)
{
	bool value;

	pthread_mutex_lock(&s->lock);
	value = *flag;
	pthread_mutex_unlock(&s->lock);
	return value;
}

bool store_is_full(struct store *s)
{
	return get_flag(s, &s->figures.is_full);
}

bool store_is_degraded(struct store *s)
{
	return get_flag(s, &s->figures.is_degraded);
}

void store_stats(struct store *s, struct store_stats *ret)
{
	cleanup_free char *wal = xasprintf("%s-wal", s->path);
	struct stat st;

	pthread_mutex_lock(&s->lock);
	*ret = s->figures;
	pthread_mutex_unlock(&s->lock);
	ret->n_queued = s->n_unanswered;
	ret->db_bytes = stat(s->path, &st) == 0 ? st.st_size : 0;
	ret->wal_bytes = stat(wal, &st) == 0 ? st.st_size : 0;
}

/* ---- opening ---- */

static int load_boot(struct store *s)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	if (!*now_boot_id())
		return SQLITE_OK; /* then wall clocks decide */
	rc = sqlite3_prepare_v2(s->db, "SELECT n FROM boot WHERE boot_id = ?1", -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sql_text(stmt, 1, now_boot_id());
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		s->boot_n = sqlite3_column_int64(stmt, 0);
		s->is_boot_known = true;
	}
	rc = sqlite3_finalize(stmt);
	if (rc == SQLITE_OK && !s->is_boot_known)
		rc = db_int(s->db, "SELECT coalesce(max(n), 0) + 1 FROM boot", &s->boot_n);
	return rc;
}

/* Numbers are never dealt twice: a tally that is behind is none of a database that was closed. */
static int load_tally(struct store *s)
{
	int64_t is_clean = 0;
	int rc = tally_load(s->db, &s->tally);

	if (rc == SQLITE_OK)
		rc = db_int(s->db, "SELECT value FROM meta WHERE key = 'clean'", &is_clean);
	if (rc == SQLITE_OK && is_clean && tally_is_behind(&s->tally))
		rc = SQLITE_CORRUPT;
	s->committed = s->tally;
	return rc;
}

/*
 * The connection is accepted: get ready.  Nothing that has to succeed writes
 * here, so that awaitd starts on a full disk too (R1.6).
 */
static int prepare(struct store *s, struct aw_err *err)
{
	int rc = sql_prepare_all(s->db, s->sql);

	if (rc == SQLITE_OK)
		rc = load_boot(s);
	if (rc == SQLITE_OK)
		rc = load_tally(s);
	if (rc == SQLITE_OK)
		rc = doom_load(s);
	if (rc != SQLITE_OK)
		/* The tally's verdict is not in the connection's message. */
		return connect_fail(rc == SQLITE_CORRUPT ? NULL : s->db, s->path, rc, err);
	rc = room_open(s);
	if (rc != SQLITE_OK)
		return connect_fail(NULL, s->path, rc, err);
	for (int i = 0; i < N_JOB_STATES; i++)
		s->figures.by_state[i] = (uint64_t)s->tally.by_state[i];
	for (int i = 0; i < N_JOB_OUTCOMES; i++)
		s->figures.by_outcome[i] = (uint64_t)s->tally.by_outcome[i];
	s->figures.kept_bytes = s->tally.kept_bytes;
	s->figures.last_seq = s->tally.next_seq - 1;
	return 0;
}

static int start_thread(struct store *s, struct aw_err *err)
{
	sigset_t all, before;
	int r;

	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		return 0;
	errno = r;
	aw_fail(err, AW_IO, "cannot start the store's thread: %m");
	return 1;
}

static void store_free(struct store *s)
{
	doom_fini(s);
	sql_finalize_all(s->sql);
	db_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s->groups);
	free(s->dir);
	free(s->path);
	free(s);
}

static void init_wake(struct store *s)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
}

int store_open_schema(const struct store_options *options, const struct schema *schema,
		      struct store **ret, struct aw_err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int r;

	s->options = *options;
	s->lock_fd = -1;
	s->flush_task.fn = on_flush;
	s->fatal_task.fn = on_fatal;
	s->room_task.fn = on_room;
	pthread_mutex_init(&s->lock, NULL);
	init_wake(s);
	db_init_library(options->log);
	r = guard_dir(options->state_dir, true, options->allow_unsafe_fs, &s->dir, &s->lock_fd,
		      err);
	if (r == 0) {
		s->path = xasprintf("%s/%s", s->dir, STORE_FILE);
		room_measure(s);
		r = connect_open(s, schema, err);
	}
	if (r == 0)
		r = prepare(s, err);
	if (r == 0)
		r = start_thread(s, err);
	if (r != 0) {
		store_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int store_open(const struct store_options *options, struct store **ret, struct aw_err *err)
{
	return store_open_schema(options, &schema_current, ret, err);
}

/* ---- closing ---- */

static void stop_thread(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	pthread_mutex_unlock(&s->lock);
	hand_over(s);
	pthread_join(s->thread, NULL);
}

static int bring_home(struct store *s, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, mode, NULL, NULL);

	return db_judge_write(s->db, true, rc);
}

/* "Stopped in order", and with it the tally. */
static int write_last_words(struct store *s)
{
	int rc = db_exec(s->db, "BEGIN IMMEDIATE");

	if (rc == SQLITE_OK)
		rc = tally_store(&s->tally, store_sql(s, SQL_TALLY_SET));
	if (rc == SQLITE_OK)
		rc = db_exec(s->db, "UPDATE meta SET value = 1 WHERE key = 'clean'; COMMIT");
	rc = db_judge_write(s->db, false, rc);
	if (rc != SQLITE_OK)
		db_rollback(s->db);
	return rc;
}

/* When all before them has got into the database.  Closing removes the log.  0 or exit status. */
static int leave_clean(struct store *s)
{
	int rc = bring_home(s, SQLITE_CHECKPOINT_PASSIVE);

	if (rc == SQLITE_OK && s->is_marked)
		rc = write_last_words(s);
	if (rc == SQLITE_OK)
		rc = bring_home(s, SQLITE_CHECKPOINT_TRUNCATE);
	/* After an I/O error another try could succeed without having written anything (R1.5). */
	if (rc == SQLITE_OK) {
		db_allow_checkpoint_on_close(s->db, true);
		return 0;
	}
	store_log(s, db_is_full(rc) ? LOG_WARNING : LOG_ERR,
		  "cannot close %s in order: %s; the next start repairs that", s->path,
		  sqlite3_errstr(rc));
	return db_is_full(rc) ? 0 : EX_IOERR;
}

int store_close(struct store *s)
{
	int status;

	if (!s)
		return 0;
	stop_thread(s);
	/* Our tasks may stand in the loop's queue: they must have run before we go. */
	while (s->flush_task.is_queued || get_flag(s, &s->is_room_posted) ||
	       (s->fatal_status != 0 ? !s->is_fatal_told : s->n_unanswered > 0))
		loop_turn(false);
	status = s->fatal_status != 0 ? s->fatal_status : leave_clean(s);
	store_free(s);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/base/list.h"
#include "daemon/store/copy.h"
#include "daemon/store/db.h"
#include "daemon/store/target.h"
#include "proto/xalloc.h"

/*
 * A copy of the database while it is in use (R1.9), through SQLite's backup
 * interface: some pages, then the next transaction, then some more.  What our
 * own transactions change in pages that are copied already SQLite carries over
 * by itself, as they go through the same connection; so the copying never
 * begins again, and the copy is the database as it is at its end.
 *
 * The disk over there may be slow, or not answer at all.  So the pages are only
 * handed over here (copy.h): a thread of their own writes them, and the
 * helper thread that gives the copy its name waits for that and syncs.
 */

#define PART_SUFFIX ".awaitd-part"

/* A slice holds up the next transaction: as many pages as take about this long. */
#define SLICE_US 2000
#define SLICE_PAGES_MIN 4
#define SLICE_PAGES_MAX 100

/* ---- on the store's thread ---- */

static int open_copy(struct store *s, struct store_backup *b)
{
	int rc = copy_register(b->copy);

	if (rc == SQLITE_OK) {
		rc = db_open_in(copy_vfs(b->copy), b->part, DB_EXISTING, &b->to);
		copy_unregister(b->copy);
	}
	if (rc == SQLITE_OK)
		/* A copy that does not come to its end is thrown away: no journal, no syncs. */
		rc = db_exec(b->to, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
				    "PRAGMA cache_size = 256");
	if (rc == SQLITE_OK) {
		b->state = sqlite3_backup_init(b->to, "main", s->db, "main");
		rc = b->state ? SQLITE_OK : sqlite3_extended_errcode(b->to);
	}
	return rc;
}

/* An SQLite code to the request's result. */
static void finish(struct store *s, struct store_backup *b, int rc)
{
	sqlite3_backup_finish(b->state);
	b->state = NULL;
	db_close(b->to);
	b->to = NULL;
	copy_leave(b->copy);
	b->error = rc;
	b->op.result = rc == SQLITE_OK ? 0 : rc == SQLITE_ABORT ? -ECANCELED : -EIO;
	s->backup = NULL;
	s->is_backup_held = false;
}

bool backup_begin(struct store *s, struct store_backup *b)
{
	int rc;

	assert(!s->backup);
	s->backup = b;
	b->n_pages = SLICE_PAGES_MIN;
	rc = open_copy(s, b);
	if (rc != SQLITE_OK)
		finish(s, b, rc);
	return rc != SQLITE_OK;
}

/* A database that is slow to read makes the slices small. */
static void adapt(struct store_backup *b, int64_t took_us)
{
	if (took_us > SLICE_US && b->n_pages > SLICE_PAGES_MIN)
		b->n_pages /= 2;
	else if (took_us < SLICE_US / 2)
		b->n_pages *= 2;
	if (b->n_pages > SLICE_PAGES_MAX)
		b->n_pages = SLICE_PAGES_MAX;
}

/* On the thread that writes: it has caught up. */
static void on_room(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	s->is_backup_held = false;
	store_wake(s);
}

static void set_held(struct store *s, bool is_held)
{
	pthread_mutex_lock(&s->lock);
	s->is_backup_held = is_held;
	pthread_mutex_unlock(&s->lock);
}

/* Whether the next slice may follow at once; otherwise on_room() tells when. */
static bool may_go_on(struct store *s)
{
	bool may;

	set_held(s, true); /* before the question, or its answer might be forgotten */
	may = copy_has_room(s->backup->copy, on_room, s);
	if (may)
		set_held(s, false);
	return may;
}

bool backup_slice(struct store *s)
{
	struct store_backup *b = s->backup;
	struct mono began;
	int rc;

	if (!may_go_on(s))
		return false;
	began = now_mono();
	rc = copy_error(b->copy) != 0 ? SQLITE_IOERR_WRITE
				      : sqlite3_backup_step(b->state, b->n_pages);
	if (rc == SQLITE_OK) {
		adapt(b, (now_mono().ns - began.ns) / 1000);
		return false;
	}
	finish(s, b, rc == SQLITE_DONE ? SQLITE_OK : rc);
	return true;
}

void backup_cancel(struct store *s)
{
	finish(s, s->backup, SQLITE_ABORT);
}

/* ---- on a helper thread ---- */

/* Names in the state directory that the store uses itself. */
static bool is_ours(const char *name)
{
	static const char *const rest[] = { "-", ".new", ".reserve", ".v" };
	size_t len = strlen(STORE_FILE);

	if (strncmp(name, STORE_FILE, len) != 0)
		return false;
	if (name[len] == '\0')
		return true;
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		if (strncmp(name + len, rest[i], strlen(rest[i])) == 0)
			return true;
	return false;
}

/* SQLite is to follow no link, so the folder's path must have none. */
static int find_place(struct store_backup *b, const char *path, struct aw_err *err)
{
	const char *name = strrchr(path, '/') + 1;
	cleanup_free char *parent = xstrndup(path, (size_t)(name - path));
	cleanup_free char *dir = NULL;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return aw_fail_at(err, AW_PARAMS, "/path", "%s does not name a file", path);
	dir = realpath(parent, NULL);
	if (!dir)
		return aw_fail_at(err, AW_PARAMS, "/path", "cannot use the folder %s: %s", parent,
				  strerror(errno));
	b->path = xasprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
	b->part = xasprintf("%s" PART_SUFFIX, b->path);
	return 0;
}

static int refuse_taken(const struct store_backup *b, const char *state_dir, struct aw_err *err)
{
	const char *name = strrchr(b->path, '/') + 1;
	cleanup_free char *state = realpath(state_dir, NULL);
	size_t len = state ? strlen(state) : 0;
	struct stat st;

	if (state && (size_t)(name - b->path) == len + 1 && strncmp(b->path, state, len) == 0 &&
	    is_ours(name))
		return aw_fail_at(err, AW_PARAMS, "/path",
				  "%s is one of the store's own names; choose another one",
				  b->path);
	if (lstat(b->path, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return aw_fail_at(err, AW_PARAMS, "/path", "%s is no regular file", b->path);
	if (!b->overwrite)
		return aw_fail(err, AW_CONFLICT,
			       "%s is there already and was left as it is: choose another name, or "
			       "set \"overwrite\" to true (awaitctl: --overwrite)",
			       b->path);
	return 0;
}

static int cannot_write(const struct store_backup *b, int e, struct aw_err *err)
{
	if (e == ENOSPC || e == EDQUOT)
		return aw_fail(err, AW_STORAGE_FULL,
			       "the disk is full: there is no copy at %s; jobs are not concerned",
			       b->path);
	return aw_fail_at(err, AW_PARAMS, "/path",
			  "awaitd cannot write %s: %s; choose a folder that it (uid %d, and its "
			  "unit) may write to",
			  b->path, strerror(e), (int)geteuid());
}

int store_backup_prepare(struct store_backup *b, const char *state_dir, const char *path,
			 bool overwrite, struct aw_err *err)
{
	int r;

	b->overwrite = overwrite;
	r = find_place(b, path, err);
	if (r == 0)
		r = refuse_taken(b, state_dir, err);
	if (r < 0)
		return r;
	r = target_open(b->part);
	if (r >= 0)
		r = copy_start(r, &b->copy);
	return r < 0 ? cannot_write(b, -r, err) : 0;
}

/* What grew is removed, unless its disk does not answer: then the next copy replaces it. */
static void discard(struct store_backup *b)
{
	if (b->copy && copy_discard(b->copy))
		unlink(b->part);
	b->copy = NULL;
}

static int write_failed(const struct store_backup *b, int e, struct aw_err *err)
{
	if (e == ENOSPC || e == EDQUOT)
		return cannot_write(b, e, err);
	if (e == ENOBUFS)
		return aw_fail(err, AW_LIMIT,
			       "there is no copy at %s: that disk is too slow for all that changes "
			       "meanwhile; try again when less is going on",
			       b->path);
	return aw_fail(err, AW_INTERNAL, "there is no copy at %s: it cannot be written: %s",
		       b->path, strerror(e));
}

static int tell_failure(const struct store_backup *b, struct aw_err *err)
{
	if (b->op.result == -ECANCELED)
		return aw_fail(err, AW_SHUTTING_DOWN,
			       "awaitd stopped before the copy was done: there is none at %s",
			       b->path);
	if (copy_error(b->copy) != 0)
		return write_failed(b, copy_error(b->copy), err);
	return aw_fail(err, AW_INTERNAL, "there is no copy at %s: %s (%d)", b->path,
		       sqlite3_errstr(b->error), b->error);
}

int store_backup_publish(struct store_backup *b, struct aw_err *err)
{
	struct stat st;
	int r;

	if (b->op.result < 0) {
		r = tell_failure(b, err);
		discard(b);
		return r;
	}
	r = copy_finish(b->copy);
	b->copy = NULL;
	if (r < 0) {
		unlink(b->part);
		return write_failed(b, -r, err);
	}
	b->n_bytes = stat(b->part, &st) == 0 ? st.st_size : 0;
	r = target_publish(b->part, b->path, b->overwrite);
	if (r == 0)
		return 0;
	unlink(b->part);
	if (r == -EEXIST)
		return aw_fail(err, AW_CONFLICT,
			       "%s appeared meanwhile and was left as it is: choose another name, "
			       "or set \"overwrite\" to true (awaitctl: --overwrite)",
			       b->path);
	return cannot_write(b, -r, err);
}

void store_backup_fini(struct store_backup *b)
{
	discard(b);
	free(b->path);
	free(b->part);
	b->path = b->part = NULL;
}

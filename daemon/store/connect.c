/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/store/db.h"
#include "daemon/store/guard.h"
#include "daemon/store/target.h"
#include "proto/xalloc.h"

/*
 * From a path to a connection that may be used (R1.1, R1.10, R1.11).  The
 * order matters: whatever may refuse the file comes before whatever writes.
 */

/* A quick_check of more than this would hold up the start for seconds. */

int connect_fail(sqlite3 *db, const char *path, int rc, struct aw_err *err)
{
	const char *why = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	int status = db_exit_status(rc);

	if (status == EX_DATAERR)
		aw_fail(err, AW_DAMAGED,
			"%s is damaged (%s); it was left as it is. Put a sound copy in its place, "
			"or save what can be read, as awaitd(8) tells: sqlite3 %s '.clone "
			"saved.db'",
			path, why, path);
	else if (status == EX_TEMPFAIL)
		aw_fail(err, AW_IO,
			"another awaitd uses this state directory (%s is locked by a process)",
			path);
	else
		aw_fail(err, AW_IO, "cannot use %s: %s", path, why);
	return status;
}

static int fail_errno(int e, const char *what, const char *path, struct aw_err *err)
{
	aw_fail(err, AW_IO, "cannot %s %s: %s", what, path, strerror(e));
	return EX_IOERR;
}

/* ---- a new database ---- */

static int fill_new(const char *path, const struct schema *schema, struct aw_err *err)
{
	char pragmas[128];
	sqlite3 *db = NULL;
	int rc = db_open(path, DB_NEW, &db);
	int r = 0;

	snprintf(pragmas, sizeof(pragmas),
		 "PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY;"
		 "PRAGMA synchronous = FULL; PRAGMA application_id = %d",
		 SCHEMA_APPLICATION_ID);
	if (rc == SQLITE_OK)
		rc = db_exec(db, pragmas);
	if (rc == SQLITE_OK)
		rc = schema_migrate(db, schema, 0);
	if (rc != SQLITE_OK) {
		aw_fail(err, AW_IO, "cannot make a database at %s: %s", path,
			db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
		r = EX_IOERR;
	}
	db_close(db);
	return r;
}

/*
 * Under another name, so that no crash leaves an empty or half-made file
 * where it would be taken for a database.
 */
static int create(struct store *s, const struct schema *schema, struct aw_err *err)
{
	cleanup_free char *fresh = xasprintf("%s/%s", s->dir, STORE_FILE_NEW);
	int r;

	r = target_make(fresh);
	if (r < 0)
		return fail_errno(-r, "create", fresh, err);
	r = fill_new(fresh, schema, err);
	if (r != 0) {
		unlink(fresh);
		return r;
	}
	if (rename(fresh, s->path) < 0)
		return fail_errno(errno, "create", s->path, err);
	if (fsync(s->lock_fd) < 0)
		return fail_errno(errno, "sync", s->dir, err);
	store_log(s, LOG_INFO, "made a new database, %s", s->path);
	return 0;
}

/* ---- an existing one ---- */

static int open_raw(const char *path, sqlite3 **ret, struct aw_err *err)
{
	int rc = db_open(path, DB_EXISTING, ret);

	if (rc != SQLITE_OK)
		return connect_fail(*ret, path, rc, err);
	return guard_header(*ret, path, err);
}

/* The first look through SQLite: takes the lock, recovers the log. */
static int read_version(sqlite3 *db, const char *path, int64_t *ret, struct aw_err *err)
{
	int rc = db_int(db, "PRAGMA user_version", ret);

	if (rc == SQLITE_OK && *ret < 1)
		rc = SQLITE_CORRUPT;
	return rc == SQLITE_OK ? 0 : connect_fail(db, path, rc, err);
}

static int refuse_newer(const char *path, int64_t version, const struct schema *schema,
			struct aw_err *err)
{
	if (version <= schema->version)
		return 0;
	aw_fail(err, AW_UNSUPPORTED,
		"%s was written by a newer awaitd (version %lld of the database, this one knows "
		"%d): install that awaitd again",
		path, (long long)version, schema->version);
	return EX_CONFIG;
}

static int quick_check(struct store *s, struct aw_err *err)
{
	struct stat st;
	int64_t is_clean = 0;
	bool is_ok = true;
	int rc = db_int(s->db, "SELECT value FROM meta WHERE key = 'clean'", &is_clean);

	if (rc != SQLITE_OK)
		return connect_fail(s->db, s->path, rc, err);
	if (is_clean)
		return 0;
	if (stat(s->path, &st) == 0 && st.st_size > s->options.check_max_bytes) {
		store_log(s, LOG_NOTICE,
			  "awaitd was not stopped in order; %s is too large for a check at start "
			  "(awaitd --check does it)",
			  s->path);
		return 0;
	}
	store_log(s, LOG_NOTICE, "awaitd was not stopped in order; checking %s", s->path);
	rc = db_text_is(s->db, "PRAGMA quick_check(1)", "ok", &is_ok);
	if (rc == SQLITE_OK && !is_ok)
		rc = SQLITE_CORRUPT;
	return rc == SQLITE_OK ? 0 : connect_fail(NULL, s->path, rc, err);
}

static int start_wal(struct store *s, struct aw_err *err)
{
	bool is_wal = false;
	char limit[64];
	int rc = db_text_is(s->db, "PRAGMA journal_mode = WAL", "wal", &is_wal);

	if (rc == SQLITE_OK && !is_wal)
		rc = SQLITE_CANTOPEN;
	if (rc == SQLITE_OK)
		/* Checkpoints are thread.c's, which must see their errors (R1.5). */
		rc = db_exec(s->db, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
				    "PRAGMA cache_size = -16384");
	snprintf(limit, sizeof(limit), "PRAGMA journal_size_limit = %lld",
		 (long long)s->room.wal_max_bytes);
	if (rc == SQLITE_OK)
		rc = db_exec(s->db, limit);
	return rc == SQLITE_OK ? 0 : connect_fail(s->db, s->path, rc, err);
}

/* ---- an older one ---- */

static int copy_into(sqlite3 *db, const char *to)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sql_text(stmt, 1, to);
	sqlite3_step(stmt);
	return sqlite3_finalize(stmt);
}

/* Keep the file as it is now as awaitd.db.v<N>.bak, whole or not at all. */
static int keep_copy(struct store *s, int64_t version, struct aw_err *err)
{
	cleanup_free char *fresh = xasprintf("%s/%s.bak", s->dir, STORE_FILE_NEW);
	cleanup_free char *bak = xasprintf("%s.v%lld.bak", s->path, (long long)version);
	int rc, r = target_make(fresh);

	if (r < 0)
		return fail_errno(-r, "create", fresh, err);
	rc = copy_into(s->db, fresh);
	if (rc != SQLITE_OK) {
		int status = connect_fail(s->db, s->path, rc, err);

		unlink(fresh);
		return status;
	}
	r = target_publish(fresh, bak, true);
	if (r < 0)
		return fail_errno(-r, "keep a copy of the database as", bak, err);
	store_log(s, LOG_NOTICE, "kept the database of version %lld as %s", (long long)version,
		  bak);
	return 0;
}

static int migrate(struct store *s, const struct schema *schema, int64_t version,
		   struct aw_err *err)
{
	int r, rc;

	if (version == schema->version)
		return 0;
	r = keep_copy(s, version, err);
	if (r != 0)
		return r;
	rc = schema_migrate(s->db, schema, version);
	if (rc == SQLITE_OK) {
		store_log(s, LOG_NOTICE, "%s is of version %d now", s->path, schema->version);
		return 0;
	}
	aw_fail(err, AW_IO, "cannot bring %s from version %lld to %d: %s; it was left as it is",
		s->path, (long long)version, schema->version, sqlite3_errmsg(s->db));
	return db_exit_status(rc);
}

/*
 * What was saved from a damaged database has lost rows, so its counts are
 * wrong: awaitd(8) has them removed.
 */
static int count_anew(struct store *s, struct aw_err *err)
{
	int64_t n = 0;
	int rc = db_int(s->db, "SELECT count(*) FROM tally", &n);

	if (rc == SQLITE_OK && n == 0) {
		store_log(s, LOG_NOTICE,
			  "%s has no counts; counting its jobs, and numbering on from far beyond "
			  "them",
			  s->path);
		rc = tally_make(s->db);
	}
	return rc == SQLITE_OK ? 0 : connect_fail(s->db, s->path, rc, err);
}

int connect_open(struct store *s, const struct schema *schema, struct aw_err *err)
{
	int64_t version = 0;
	bool exists = false;
	int r = guard_file(s->dir, s->path, s->options.is_init, &exists, err);

	if (r == 0 && !exists)
		r = create(s, schema, err);
	if (r == 0)
		r = open_raw(s->path, &s->db, err);
	if (r == 0)
		r = read_version(s->db, s->path, &version, err);
	if (r == 0)
		r = refuse_newer(s->path, version, schema, err);
	if (r == 0)
		r = quick_check(s, err);
	if (r == 0)
		r = start_wal(s, err);
	if (r == 0)
		r = migrate(s, schema, version, err);
	if (r == 0 && schema == &schema_current)
		r = count_anew(s, err);
	return r;
}

int connect_to_check(const char *path, sqlite3 **ret, int64_t *ret_version, struct aw_err *err)
{
	int r = open_raw(path, ret, err);

	if (r == 0)
		r = read_version(*ret, path, ret_version, err);
	if (r == 0)
		r = refuse_newer(path, *ret_version, &schema_current, err);
	return r;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/store/db.h"
#include "daemon/store/guard.h"
#include "daemon/store/rows.h"
#include "daemon/store/store_int.h"
#include "proto/xalloc.h"

/*
 * awaitd --check: all that can be known about a database without changing
 * it.  SQLite's own checks see about half of random damage (it has no page
 * checksums), so what must hold between our rows is asked as well.
 */

struct check {
	sqlite3 *db;
	void (*out)(const char *line);
	unsigned n_findings;
};

/* Each gives the number of rows that break it. */
static const struct {
	const char *finding, *sql;
} invariants[] = {
	{ "jobs without their document",
	  "SELECT count(*) FROM job WHERE NOT EXISTS (SELECT 1 FROM doc WHERE doc.job = id)" },
	{ "jobs that run without an open attempt",
	  "SELECT count(*) FROM job WHERE state IN ('running', 'stopping') AND NOT EXISTS"
	  " (SELECT 1 FROM attempt AS a WHERE a.job = id AND a.attempt = job.attempt"
	  "  AND a.ended IS NULL)" },
	{ "open attempts of jobs that do not run",
	  "SELECT count(*) FROM attempt AS a WHERE ended IS NULL AND NOT EXISTS"
	  " (SELECT 1 FROM job WHERE id = a.job AND job.attempt = a.attempt"
	  "  AND state IN ('running', 'stopping'))" },
	{ "stopping jobs without a reason, or reasons of jobs that are not to stop",
	  "SELECT count(*) FROM job LEFT JOIN stop ON stop.job = id WHERE iif(state = 'waiting',"
	  " stop.job IS NOT NULL AND kind NOT IN ('gather', 'sequence', 'race'),"
	  " (state = 'stopping') <> (stop.job IS NOT NULL))" },
	{ "jobs whose last event does not tell their state",
	  "SELECT count(*) FROM job LEFT JOIN event ON event.seq = last_seq"
	  " WHERE last_seq IS NOT NULL AND (event.job, event.state, event.outcome)"
	  "  IS NOT (id, job.state, job.outcome)" },
	{ "events that are missing from what has happened to a job, or too many",
	  "SELECT count(*) FROM (SELECT prev, lag(seq) OVER (PARTITION BY job ORDER BY seq) AS"
	  " before FROM event) WHERE prev IS NOT before" },
	{ "jobs of which an attempt is missing, or that have one too many",
	  "SELECT count(*) FROM job WHERE attempt <>"
	  " (SELECT count(*) FROM attempt AS a WHERE a.job = id)" },
	{ "results of attempts that have not ended",
	  "SELECT count(*) FROM attempt WHERE ended IS NULL AND result IS NOT NULL" },
	{ "results of jobs that are not done",
	  "SELECT count(*) FROM ending JOIN job ON id = ending.job WHERE job.outcome IS NULL" },
	{ "jobs in the wrong order of submission",
	  "SELECT count(*) FROM (SELECT submit_seq - lag(submit_seq) OVER (ORDER BY id) AS step"
	  " FROM job) WHERE step <= 0" },
	{ "events of jobs that do not exist",
	  "SELECT count(*) FROM event WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = event.job)" },
	{ "submission keys that never expire",
	  "SELECT count(*) FROM submit_key WHERE expires IS NULL AND NOT EXISTS"
	  " (SELECT 1 FROM job WHERE id = submit_key.job AND outcome IS NULL)" },
	{ "unfinished jobs that would be made again by who sends their key again",
	  "SELECT count(*) FROM job WHERE outcome IS NULL AND has_key"
	  " AND id NOT IN (SELECT job FROM submit_key)" },
	{ "submission keys that would never be forgotten",
	  "SELECT count(*) FROM submit_key WHERE (job > 0) <>"
	  " EXISTS (SELECT 1 FROM job WHERE id = submit_key.job)" },
	{ "instants of an unknown boot", /* NULL is in nothing, not even in an empty table */
	  "SELECT count(*) FROM (SELECT boot FROM job UNION ALL SELECT boot FROM attempt"
	  "  UNION ALL SELECT boot FROM deadline)"
	  " WHERE boot IS NOT NULL AND boot NOT IN (SELECT n FROM boot)" },
	{ "parts without their composition",
	  "SELECT count(*) FROM job WHERE parent IS NOT NULL AND (part IS NULL OR run_of IS NULL"
	  " OR parent >= id OR NOT EXISTS (SELECT 1 FROM job AS p WHERE p.id = job.parent"
	  "  AND p.kind IN ('gather', 'sequence', 'race')))" },
	{ "parts that are there twice",
	  "SELECT count(*) FROM (SELECT 1 FROM job WHERE parent IS NOT NULL"
	  " GROUP BY parent, run_of, part HAVING count(*) > 1)" },
	{ "compositions that ended before their parts",
	  "SELECT count(*) FROM job JOIN job AS p ON p.id = job.parent"
	  " WHERE job.outcome IS NULL AND p.outcome IS NOT NULL" },
	{ "needs of unfinished jobs whose job is not there",
	  "SELECT count(*) FROM need JOIN job ON job.id = need.job WHERE outcome IS NULL"
	  " AND NOT EXISTS (SELECT 1 FROM job AS o WHERE o.id = on_job)" },
	{ "jobs that do not know whether they need something",
	  "SELECT count(*) FROM job WHERE (coalesce(flags, 0) & 4 <> 0) <>"
	  " EXISTS (SELECT 1 FROM need WHERE need.job = job.id)" },
	{ "deadlines of jobs that are done",
	  "SELECT count(*) FROM deadline JOIN job ON id = deadline.job"
	  " WHERE outcome IS NOT NULL" },
	{ "jobs that are to be kept for a time and have no end of it, or an end too early",
	  "SELECT count(*) FROM job LEFT JOIN expiry ON expiry.job = id WHERE iif(outcome IS NULL,"
	  " expiry.job IS NOT NULL, keep IS NOT NULL AND expiry.job IS NULL"
	  "  AND NOT EXISTS (SELECT 1 FROM doomed WHERE doomed.job = id))" },
	{ "jobs on their way out that are not there, or not done",
	  "SELECT count(*) FROM doomed WHERE NOT EXISTS"
	  " (SELECT 1 FROM job WHERE id = doomed.job AND outcome IS NOT NULL)" },
	{ "removed jobs that are there",
	  "SELECT count(*) FROM gone WHERE EXISTS (SELECT 1 FROM job WHERE id = gone.job)" },
};

static void found(struct check *c, const char *line)
{
	c->n_findings++;
	c->out(line);
}

static int check_integrity(struct check *c)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA integrity_check", -1, &stmt, NULL);

	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *line = sql_col_word(stmt, 0);

		if (line && strcmp(line, "ok") != 0)
			found(c, line);
	}
	return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

static int check_foreign_keys(struct check *c)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA foreign_key_check", -1, &stmt, NULL);

	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *table = sql_col_word(stmt, 0);
		cleanup_free char *line =
			xasprintf("a row of table %s belongs to no job", table ? table : "?");

		found(c, line);
	}
	return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

static int check_invariants(struct check *c)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof(invariants) / sizeof(invariants[0]) && rc == SQLITE_OK; i++) {
		int64_t n = 0;

		rc = db_int(c->db, invariants[i].sql, &n);
		if (rc == SQLITE_OK && n != 0) {
			cleanup_free char *line =
				xasprintf("%s: %lld", invariants[i].finding, (long long)n);

			found(c, line);
		}
	}
	return rc;
}

static bool is_same_count(const struct tally *a, const struct tally *b)
{
	return a->kept_bytes == b->kept_bytes &&
	       memcmp(a->by_state, b->by_state, sizeof(a->by_state)) == 0 &&
	       memcmp(a->by_outcome, b->by_outcome, sizeof(a->by_outcome)) == 0;
}

/* The tally, as a start would load it, against all rows. */
static int check_tally(struct check *c)
{
	struct tally loaded, counted;
	int64_t is_clean = 0, last_gone = 0;
	int rc = tally_load(c->db, &loaded);

	if (rc == SQLITE_EMPTY || rc == SQLITE_CORRUPT) {
		found(c, "the counts are missing, or cannot be brought up to date");
		return SQLITE_OK;
	}
	if (rc == SQLITE_OK)
		rc = tally_count(c->db, &counted);
	if (rc == SQLITE_OK)
		rc = db_int(c->db, "SELECT value FROM meta WHERE key = 'clean'", &is_clean);
	if (rc == SQLITE_OK)
		rc = db_int(c->db, "SELECT coalesce(max(job), 0) FROM gone", &last_gone);
	if (rc != SQLITE_OK)
		return rc;
	if (!is_same_count(&loaded, &counted))
		found(c, "counts that differ from what is there");
	if ((is_clean && tally_is_behind(&loaded)) || loaded.next_id < counted.next_id ||
	    loaded.next_seq < counted.next_seq || loaded.next_id <= last_gone ||
	    loaded.next_seq <= loaded.pruned_seq || loaded.next_seq <= loaded.history_seq)
		found(c, "ids or numbers that would be dealt again");
	return SQLITE_OK;
}

static int check_hashes(struct check *c)
{
	static const char sql[] = "SELECT kind, uid, gid, submitted, hash, spec, id"
				  " FROM job JOIN doc ON doc.job = id";
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL);

	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *spec = sql_col_word(stmt, 5);
		size_t len = (size_t)sqlite3_column_bytes(stmt, 5);

		if (rows_is_damaged(stmt, 0, spec, len)) {
			cleanup_free char *line =
				xasprintf("job %lld is damaged: it does not match its checksum",
					  (long long)sqlite3_column_int64(stmt, 6));

			found(c, line);
		}
	}
	return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

static int check_all(struct check *c, int64_t version)
{
	int rc = check_integrity(c);

	if (rc == SQLITE_OK)
		rc = check_foreign_keys(c);
	if (rc != SQLITE_OK)
		return rc;
	if (version < schema_current.version) {
		c->out("an older version of the database: only SQLite's own checks were made");
		return SQLITE_OK;
	}
	rc = check_invariants(c);
	if (rc == SQLITE_OK)
		rc = check_tally(c);
	return rc == SQLITE_OK ? check_hashes(c) : rc;
}

static int check_db(const char *path, void (*out)(const char *line), struct aw_err *err)
{
	struct check c = { .out = out };
	int64_t version = 0;
	int r = connect_to_check(path, &c.db, &version, err);
	int rc;

	if (r == 0) {
		rc = check_all(&c, version);
		if (rc != SQLITE_OK)
			r = connect_fail(c.db, path, rc, err);
		else if (c.n_findings > 0)
			r = connect_fail(NULL, path, SQLITE_CORRUPT, err);
	}
	db_close(c.db);
	return r;
}

int store_check(const char *state_dir, void (*out)(const char *line), struct aw_err *err)
{
	cleanup_free char *dir = NULL;
	cleanup_free char *path = NULL;
	bool exists = false;
	int lock_fd = -1;
	int r = guard_dir(state_dir, false, true, &dir, &lock_fd, err);

	if (r != 0)
		return r;
	db_init_library(NULL);
	path = xasprintf("%s/%s", dir, STORE_FILE);
	r = guard_file(dir, path, false, &exists, err);
	if (r == 0 && !exists) {
		aw_fail(err, AW_NOT_FOUND, "there is no database in %s", dir);
		r = 1;
	}
	if (r == 0)
		r = check_db(path, out, err);
	close(lock_fd);
	return r;
}

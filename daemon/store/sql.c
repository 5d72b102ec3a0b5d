/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/sql.h"

#include <string.h>

#include "daemon/store/rows.h"
#include "daemon/store/tally.h"
#include "proto/xalloc.h"

#define REMOVE_COLUMNS "id, kind, state, outcome, parent, last_seq, attempt, uid, has_key, flags"

static const char *const texts[N_SQL] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	/* Another value each time: SQLite does not write what is there already. */
	[SQL_PROBE] = "INSERT INTO meta VALUES ('probe', 1)"
		      " ON CONFLICT (key) DO UPDATE SET value = value + 1",
	[SQL_META_SET] = "UPDATE meta SET value = ?2 WHERE key = ?1",
	[SQL_TALLY_SET] = TALLY_UPDATE,
	[SQL_BOOT_INSERT] = "INSERT INTO boot (n, boot_id) VALUES (?1, ?2)",

	[SQL_JOB_INSERT] =
		"INSERT INTO job (id, kind, state, queue, name, tags, priority, uid, gid,"
		" submitted, submit_seq, due, due_boot, boot, attempt, has_key, hash,"
		" parent, part, run_of, retry_of, flags, keep)"
		" VALUES (?1, ?2, 'waiting', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0,"
		" ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
	[SQL_DOC_INSERT] = "INSERT INTO doc (job, spec, key) VALUES (?1, ?2, ?3)",
	[SQL_KEY_FIND] = "SELECT abs(job), hash FROM submit_key"
			 " WHERE uid = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
	[SQL_KEY_INSERT] = "INSERT OR REPLACE INTO submit_key (uid, key, job, hash)"
			   " VALUES (?1, ?2, ?3, ?4)",
	[SQL_JOB_EXISTS] = "SELECT coalesce(parent, 0) FROM job WHERE id = ?1",
	[SQL_NEED_INSERT] = "INSERT INTO need (job, n, on_job, cond) VALUES (?1, ?2, ?3, ?4)",
	[SQL_DEADLINE_INSERT] = "INSERT INTO deadline (job, due, due_boot, boot)"
				" VALUES (?1, ?2, ?3, ?4)",

	[SQL_JOB_FENCE] = "SELECT kind, uid, gid, submitted, hash, has_key, last_seq, keep, flags"
			  " FROM job WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	[SQL_JOB_START] = "UPDATE job SET state = 'running', attempt = attempt + 1, started = ?4,"
			  " last_seq = ?5 WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	[SQL_JOB_STOP] = "UPDATE job SET state = 'stopping', last_seq = ?4"
			 " WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	[SQL_JOB_END] = "UPDATE job SET state = 'done', outcome = ?4, ended = ?5, last_seq = ?6"
			" WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	[SQL_JOB_AGAIN] = "UPDATE job SET state = 'waiting', due = ?4, due_boot = ?5, boot = ?6,"
			  " last_seq = ?7, tries = nullif(coalesce(tries, 0) + ?8, 0)"
			  " WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	/* ?5: bits of enum store_field */
	[SQL_JOB_UPDATE] = "UPDATE job SET last_seq = ?4, priority = iif(?5 & 1, ?6, priority),"
			   " queue = iif(?5 & 2, ?7, queue), due = iif(?5 & 4, ?8, due),"
			   " due_boot = iif(?5 & 4, ?9, due_boot), boot = iif(?5 & 4, ?10, boot),"
			   " name = iif(?5 & 8, ?11, name), tags = iif(?5 & 16, ?12, tags),"
			   " flags = iif(?5 & 32, nullif(coalesce(flags, 0) & ~1 | ?13, 0), flags)"
			   " WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	[SQL_STOP_ASK] = "INSERT OR REPLACE INTO stop (job, why, by_uid, message)"
			 " SELECT id, ?4, ?5, ?6 FROM job"
			 " WHERE id = ?1 AND attempt = ?2 AND state = ?3",
	[SQL_PART_ENDS] = "SELECT part, id, outcome, result, error FROM job INDEXED BY job_part"
			  " LEFT JOIN ending ON ending.job = id"
			  " WHERE parent = ?1 AND run_of = ?2 ORDER BY part",
	[SQL_PART_END] = "SELECT part, id, outcome, result, error FROM job INDEXED BY job_part"
			 " LEFT JOIN ending ON ending.job = id"
			 " WHERE parent = ?1 AND run_of = ?2 AND part = ?3",
	[SQL_PART_LAST] = "SELECT max(part) FROM job INDEXED BY job_part"
			  " WHERE parent = ?1 AND run_of = ?2",
	[SQL_EVENT_INSERT] = "INSERT INTO event (seq, time, job, attempt, state, outcome, prev)"
			     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[SQL_ATTEMPT_INSERT] = "INSERT INTO attempt (job, attempt, started, started_boot, boot,"
			       " executor, handle, saved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_ATTEMPT_SAVED] = "SELECT executor, handle, saved FROM attempt"
			      " WHERE job = ?1 AND attempt = ?2 AND saved IS NOT NULL",
	[SQL_ATTEMPT_UNSAVE] = "UPDATE attempt SET saved = NULL WHERE job = ?1 AND attempt = ?2",
	/* What was saved may help the next attempt; after the last one it is of no use. */
	[SQL_ATTEMPT_CLOSE] = "UPDATE attempt SET ended = ?3, outcome = ?4, orderly = ?5,"
			      " error = ?6, result = ?7, saved = iif(?8, NULL, saved)"
			      " WHERE job = ?1 AND attempt = ?2 AND ended IS NULL",
	[SQL_ATTEMPT_NOTE] = "UPDATE attempt SET executor = coalesce(?3, executor),"
			     " handle = coalesce(?4, handle), saved = coalesce(?5, saved)"
			     " WHERE job = ?1 AND attempt = ?2 AND ended IS NULL",
	[SQL_STOP_INSERT] = "INSERT OR REPLACE INTO stop (job, why, by_uid, message)"
			    " VALUES (?1, ?2, ?3, ?4)",
	[SQL_STOP_DELETE] = "DELETE FROM stop WHERE job = ?1",
	[SQL_DEADLINE_DELETE] = "DELETE FROM deadline WHERE job = ?1",
	[SQL_EXPIRY_SET] = "INSERT OR REPLACE INTO expiry (job, due) VALUES (?1, ?2)",
	[SQL_ENDING_INSERT] = "INSERT INTO ending (job, result, error, kept)"
			      " VALUES (?1, ?2, ?3, ?4)",
	[SQL_KEY_EXPIRE] = "UPDATE submit_key SET expires = ?2 WHERE job = ?1 AND uid = ?3"
			   " AND key = (SELECT key FROM doc WHERE job = ?1)",
	[SQL_QUEUE_SET] = "INSERT INTO queue (name, max, paused) VALUES (?1, ?2, ?3)"
			  " ON CONFLICT (name) DO UPDATE SET max = ?2, paused = ?3",

	[SQL_REMOVE_ONE] = "SELECT " REMOVE_COLUMNS " FROM job WHERE id = ?1",
	[SQL_REMOVE_PARTS] = "SELECT " REMOVE_COLUMNS " FROM job INDEXED BY job_part"
			     " WHERE parent = ?1",
	/* A part that has ended may be made again, as long as what is around it lives. */
	[SQL_NEEDED_BY] =
		"WITH RECURSIVE around (id, parent, outcome) AS ("
		"SELECT id, parent, outcome FROM need INDEXED BY need_on"
		" CROSS JOIN job ON id = need.job WHERE on_job = ?1"
		" UNION SELECT job.id, job.parent, job.outcome FROM around"
		" CROSS JOIN job ON job.id = around.parent WHERE around.outcome IS NOT NULL)"
		" SELECT id FROM around WHERE outcome IS NULL LIMIT 1",
	[SQL_NEEDED_BETWEEN] = "SELECT 1 FROM need WHERE on_job BETWEEN ?1 AND ?2 LIMIT 1",
	[SQL_EVENT_PREV] = "SELECT prev, job FROM event WHERE seq = ?1",
	[SQL_EVENT_DELETE] = "DELETE FROM event WHERE seq = ?1",
	[SQL_ENDING_KEPT] = "SELECT kept FROM ending WHERE job = ?1",
	[SQL_ENDING_DELETE] = "DELETE FROM ending WHERE job = ?1",
	[SQL_EXPIRY_DELETE] = "DELETE FROM expiry WHERE job = ?1",
	[SQL_KEY_ORPHAN] = "UPDATE submit_key SET job = -job WHERE job = ?1 AND uid = ?2"
			   " AND key = (SELECT key FROM doc WHERE job = ?1)",
	[SQL_NEED_DELETE] = "DELETE FROM need WHERE job = ?1",
	[SQL_ATTEMPT_DELETE] = "DELETE FROM attempt WHERE job = ?1",
	[SQL_GONE_INSERT] = "INSERT INTO gone (job) VALUES (?1)",
	[SQL_GONE_DELETE] = "DELETE FROM gone WHERE job = ?1",
	[SQL_GONE_LIST] = "SELECT job FROM gone WHERE job > ?1 ORDER BY job LIMIT ?2",
	[SQL_DOOMED_INSERT] = "INSERT INTO doomed (job) VALUES (?1)",
	[SQL_DOOMED_DELETE] = "DELETE FROM doomed WHERE job = ?1",
	[SQL_DOOMED_LIST] = "SELECT job FROM doomed ORDER BY job",
	[SQL_EXPIRED] = "SELECT due, job FROM expiry INDEXED BY expiry_due"
			" WHERE (due, job) > (?1, ?2) ORDER BY due, job LIMIT 1",
	[SQL_ENDS] = "SELECT seq, job, outcome IS NOT NULL FROM event WHERE seq > ?1"
		     " ORDER BY seq",
	[SQL_END_FACTS] = "SELECT parent, keep, ended FROM job WHERE id = ?1",
	[SQL_KEY_EXPIRED] = "SELECT uid, key FROM submit_key INDEXED BY submit_key_orphan"
			    " WHERE job < 0 AND expires <= ?1 ORDER BY expires LIMIT 1",
	[SQL_KEY_DELETE] = "DELETE FROM submit_key WHERE uid = ?1 AND key = ?2",
	[SQL_DOC_DELETE] = "DELETE FROM doc WHERE job = ?1",
	[SQL_JOB_DELETE] = "DELETE FROM job WHERE id = ?1",

	[SQL_JOB_GET] = "SELECT " ROWS_JOB_COLUMNS " FROM job WHERE id = ?1",
	/* The parts that a composition has now: those of its latest attempt that made some. */
	[SQL_LAST_RUN] = "SELECT max(run_of) FROM job INDEXED BY job_part WHERE parent = ?1",
	[SQL_CHILDREN] = "SELECT id FROM job INDEXED BY job_part"
			 " WHERE parent = ?1 AND run_of = ?2 ORDER BY part",
	[SQL_NEEDS] = "SELECT on_job, cond FROM need WHERE job = ?1 ORDER BY n",
	[SQL_ATTEMPT_RESULT] = "SELECT result FROM attempt WHERE job = ?1 AND attempt = ?2",
	[SQL_ATTEMPTS] = "SELECT attempt, started, ended, outcome, error, result FROM attempt"
			 " WHERE job = ?1 ORDER BY attempt",
	[SQL_DOC_GET] = "SELECT spec FROM doc WHERE job = ?1",
	[SQL_ENDING_GET] = "SELECT result, error FROM ending WHERE job = ?1",
	[SQL_SCAN] = "SELECT " ROWS_JOB_COLUMNS " FROM job WHERE id > ?1 ORDER BY id",
	[SQL_SCAN_DESC] = "SELECT " ROWS_JOB_COLUMNS " FROM job WHERE id < ?1 ORDER BY id DESC",
	[SQL_SCAN_LIVE] = "SELECT " ROWS_JOB_COLUMNS " FROM job INDEXED BY job_live"
			  " WHERE outcome IS NULL AND id > ?1 ORDER BY id",
	[SQL_SCAN_LIVE_DESC] = "SELECT " ROWS_JOB_COLUMNS " FROM job INDEXED BY job_live"
			       " WHERE outcome IS NULL AND id < ?1 ORDER BY id DESC",
	[SQL_SCAN_PARTS] = "SELECT " ROWS_JOB_COLUMNS " FROM job INDEXED BY job_part"
			   " WHERE parent = ?1 AND (run_of, part) > (?2, ?3) ORDER BY run_of, part",
	[SQL_SCAN_PARTS_DESC] = "SELECT " ROWS_JOB_COLUMNS " FROM job INDEXED BY job_part"
				" WHERE parent = ?1 AND (run_of, part) < (?2, ?3)"
				" ORDER BY run_of DESC, part DESC",
	[SQL_PART_PLACE] = "SELECT run_of, part FROM job WHERE id = ?1 AND parent = ?2",
	[SQL_EVENTS] = "SELECT seq, time, e.attempt, e.state, e.outcome, id, kind, uid, last_seq,"
		       " parent, prev"
		       " FROM event AS e CROSS JOIN job ON id = e.job WHERE seq > ?1 ORDER BY seq",
	[SQL_SUBMISSIONS] = "SELECT submit_seq, submitted, 0, 'waiting', NULL, id, kind, uid,"
			    " coalesce(last_seq, submit_seq), parent, NULL"
			    " FROM job WHERE id >= ?1 ORDER BY id",
	[SQL_EVENT_STATE] = "SELECT state FROM event WHERE seq = ?1",
	[SQL_PARENT] = "SELECT parent FROM job WHERE id = ?1",
	[SQL_SUBMITTED_FROM] = "SELECT id, submit_seq FROM job WHERE id >= ?1 ORDER BY id LIMIT 1",
	[SQL_SCOPE_PLACE] = "SELECT kind, uid, gid, submitted, hash, parent, part, run_of FROM job"
			    " WHERE id = ?1",
	[SQL_SCOPE_NEEDS] = "SELECT on_job, name, outcome, result FROM need"
			    " LEFT JOIN job ON id = on_job LEFT JOIN ending ON ending.job = on_job"
			    " WHERE need.job = ?1 ORDER BY n",
	[SQL_SCOPE_PARTS] = "SELECT id, name, outcome, result FROM job INDEXED BY job_part"
			    " LEFT JOIN ending ON ending.job = id"
			    " WHERE parent = ?1 AND run_of = ?2 AND part < ?3 AND name IS NOT NULL"
			    " ORDER BY part DESC",
	[SQL_LOAD] = "SELECT kind, uid, gid, submitted, hash, a.started, a.started_boot, a.boot,"
		     " executor, handle, saved, why, by_uid, message"
		     " FROM job LEFT JOIN attempt AS a ON a.job = id AND a.attempt = job.attempt"
		     " LEFT JOIN stop ON stop.job = id WHERE id = ?1",
	[SQL_LOSSES] = "SELECT outcome, ended - started, orderly FROM attempt"
		       " WHERE job = ?1 AND ended IS NOT NULL ORDER BY attempt DESC",
	[SQL_EACH_LIVE] = "SELECT " ROWS_LIVE_COLUMNS " FROM job INDEXED BY job_live"
			  " WHERE outcome IS NULL ORDER BY id",
	[SQL_EACH_DOC_SIZE] = "SELECT id, length(CAST(spec AS BLOB)) FROM job INDEXED BY job_live"
			      " JOIN doc ON doc.job = id WHERE outcome IS NULL",
	[SQL_EACH_QUEUE] = "SELECT name, max, paused FROM queue ORDER BY name",
	[SQL_EACH_NEED] = "SELECT need.job, on_job, cond, o.outcome, o.id FROM need"
			  " CROSS JOIN job ON job.id = need.job LEFT JOIN job AS o ON o.id = on_job"
			  " WHERE job.outcome IS NULL ORDER BY need.job, n",
	[SQL_EACH_ENDED_PART] =
		"SELECT part, id, outcome, last_seq >"
		" (SELECT last_seq FROM job WHERE id = ?1 AND state = 'stopping')"
		" FROM job INDEXED BY job_part"
		" WHERE parent = ?1 AND run_of = ?2 AND outcome IS NOT NULL ORDER BY last_seq",
	[SQL_EACH_DEADLINE] = "SELECT job, due, due_boot, boot FROM deadline ORDER BY job",
	[SQL_EACH_ASKED] = "SELECT job, why, by_uid, message FROM stop"
			   " CROSS JOIN job ON id = job WHERE state = 'waiting' ORDER BY job",
};

int sql_prepare_all(sqlite3 *db, sqlite3_stmt *stmts[N_SQL])
{
	for (int i = 0; i < N_SQL; i++) {
		int rc = sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &stmts[i],
					    NULL);

		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

void sql_finalize_all(sqlite3_stmt *stmts[N_SQL])
{
	for (int i = 0; i < N_SQL; i++) {
		sqlite3_finalize(stmts[i]);
		stmts[i] = NULL;
	}
}

void sql_instant(sqlite3_stmt *stmt, int at, struct instant t, int64_t boot_n)
{
	bool has_boot = t.boot.ns != 0 && boot_n != 0;

	if (t.wall.ms != 0)
		sqlite3_bind_int64(stmt, at, t.wall.ms);
	else
		sqlite3_bind_null(stmt, at);
	if (has_boot && t.wall.ms != 0) {
		sqlite3_bind_int64(stmt, at + 1, t.boot.ns);
		sqlite3_bind_int64(stmt, at + 2, boot_n);
	} else {
		sqlite3_bind_null(stmt, at + 1);
		sqlite3_bind_null(stmt, at + 2);
	}
}

char *sql_col_text(sqlite3_stmt *stmt, int col, size_t *ret_len)
{
	const char *text = (const char *)sqlite3_column_text(stmt, col);
	size_t len;
	char *copy;

	if (!text)
		return NULL;
	len = (size_t)sqlite3_column_bytes(stmt, col);
	copy = xmalloc(len + 1);
	memcpy(copy, text, len + 1); /* SQLite ends text with a NUL */
	if (ret_len)
		*ret_len = len;
	return copy;
}

struct instant sql_col_instant(sqlite3_stmt *stmt, int col, int64_t boot_n)
{
	struct instant t = { 0 };

	t.wall.ms = sqlite3_column_int64(stmt, col);
	if (boot_n != 0 && sqlite3_column_int64(stmt, col + 2) == boot_n)
		t.boot.ns = sqlite3_column_int64(stmt, col + 1);
	return t;
}

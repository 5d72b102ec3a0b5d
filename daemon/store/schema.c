/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/schema.h"

#include <stdio.h>

#include "daemon/store/db.h"

/*
 * Version 1.
 *
 * Times are milliseconds of CLOCK_REALTIME; xxx_boot is nanoseconds of
 * CLOCK_BOOTTIME in the boot that column boot names (R5.1, R5.6).
 *
 * - job is narrow, because start-up and lists scan it.  What is long or rare
 *   lies beside it.  The checks are chains of OR: IN with more than two words
 *   builds a table at each insert.
 * - job_live has an entry per unfinished job.  It asks for the outcome and not
 *   for the state, so that starting or stopping a job leaves it alone.
 * - One counter numbers submissions and events: a submission's number stands
 *   in job.submit_seq, all other changes of state are rows of event.  Ids and
 *   submit_seqs rise together.  A job's events are a list from job.last_seq
 *   through event.prev, so that they can be found without an index.
 * - meta has the next id and the next number, so that neither is used again.
 * - submit_key outlives its job (R2.6); expires is NULL until the job has ended.
 */
static const char version_1[] =
	"CREATE TABLE meta ("
	"  key TEXT PRIMARY KEY,"
	"  value INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"INSERT INTO meta VALUES ('next_id', 1), ('next_seq', 1), ('clean', 1);"

	"CREATE TABLE count ("
	"  what TEXT PRIMARY KEY,"
	"  value INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"INSERT INTO count VALUES"
	"  ('waiting', 0), ('running', 0), ('stopping', 0), ('done', 0),"
	"  ('succeeded', 0), ('failed', 0), ('timed_out', 0),"
	"  ('cancelled', 0), ('skipped', 0), ('lost', 0);"

	"CREATE TABLE boot ("
	"  n INTEGER PRIMARY KEY,"
	"  boot_id TEXT NOT NULL UNIQUE"
	") STRICT;"

	"CREATE TABLE queue ("
	"  name TEXT PRIMARY KEY,"
	"  max INTEGER NOT NULL,"
	"  paused INTEGER NOT NULL CHECK (paused = 0 OR paused = 1)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE job ("
	"  id INTEGER PRIMARY KEY,"
	"  kind TEXT NOT NULL CHECK ("
	"    kind = 'worker' OR kind = 'fetch' OR kind = 'timer'"
	"    OR kind = 'gather' OR kind = 'sequence' OR kind = 'race'),"
	"  state TEXT NOT NULL CHECK ("
	"    state = 'waiting' OR state = 'running' OR state = 'done' OR state = 'stopping'),"
	"  outcome TEXT CHECK ("
	"    outcome IS NULL OR outcome = 'succeeded' OR outcome = 'failed'"
	"    OR outcome = 'cancelled' OR outcome = 'timed_out'"
	"    OR outcome = 'skipped' OR outcome = 'lost'),"
	"  queue TEXT,"
	"  name TEXT,"
	"  tags TEXT,"
	"  priority INTEGER NOT NULL,"
	"  uid INTEGER NOT NULL,"
	"  gid INTEGER NOT NULL,"
	"  submitted INTEGER NOT NULL,"
	"  submit_seq INTEGER NOT NULL,"
	"  last_seq INTEGER,"
	"  due INTEGER,"
	"  due_boot INTEGER,"
	"  boot INTEGER,"
	"  attempt INTEGER NOT NULL,"
	"  started INTEGER,"
	"  ended INTEGER,"
	"  has_key INTEGER NOT NULL,"
	"  hash INTEGER NOT NULL,"
	"  CHECK ((state = 'done') = (outcome IS NOT NULL)),"
	"  CHECK ((state = 'done') = (ended IS NOT NULL))"
	") STRICT;"
	"CREATE INDEX job_live ON job(id) WHERE outcome IS NULL;"

	"CREATE TABLE doc ("
	"  job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  spec TEXT NOT NULL,"
	"  key TEXT"
	") STRICT;"

	"CREATE TABLE stop ("
	"  job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  why TEXT NOT NULL CHECK (why = 'cancel' OR why = 'timeout'),"
	"  by_uid INTEGER NOT NULL,"
	"  message TEXT"
	") STRICT;"

	"CREATE TABLE ending ("
	"  job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  result TEXT,"
	"  error TEXT"
	") STRICT;"

	"CREATE TABLE attempt ("
	"  job INTEGER NOT NULL REFERENCES job(id),"
	"  attempt INTEGER NOT NULL CHECK (attempt > 0),"
	"  started INTEGER NOT NULL,"
	"  started_boot INTEGER,"
	"  boot INTEGER,"
	"  ended INTEGER,"
	"  outcome TEXT,"
	"  orderly INTEGER,"
	"  executor TEXT,"
	"  handle TEXT,"
	"  saved TEXT,"
	"  error TEXT,"
	"  PRIMARY KEY (job, attempt),"
	"  CHECK ((outcome IS NULL) = (ended IS NULL))"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE event ("
	"  seq INTEGER PRIMARY KEY,"
	"  time INTEGER NOT NULL,"
	"  job INTEGER NOT NULL,"
	"  attempt INTEGER NOT NULL,"
	"  state TEXT NOT NULL,"
	"  outcome TEXT,"
	"  prev INTEGER"
	") STRICT;"

	"CREATE TABLE submit_key ("
	"  uid INTEGER NOT NULL,"
	"  key TEXT NOT NULL,"
	"  job INTEGER NOT NULL,"
	"  hash INTEGER NOT NULL,"
	"  expires INTEGER,"
	"  PRIMARY KEY (uid, key)"
	") STRICT, WITHOUT ROWID;";

/*
 * Version 2: compositions, needs, retries, deadlines, history.
 *
 * - job.parent and .part: of which composition it is the part, and which one
 *   (counted from 0); .run_of: of which attempt of it, since a retry of a
 *   composition makes its parts anew.
 * - job.flags: bits of enum rows_flag.  job.tries: attempts that a retry has
 *   used up.  job.keep: seconds that the document asks for.  Each of the new
 *   columns is NULL where nothing was asked for, which costs a byte.
 * - need: what a job waits for, in the document's order.  Rows stay as long as
 *   their job.
 * - deadline: of unfinished jobs only, as is stop, which may belong to a
 *   waiting composition now.
 * - expiry: when an ended job is to be looked at again.  Those that have no
 *   "keep" of their own go by the order of their ends and have no row here,
 *   unless they could not go when their turn came.
 * - submit_key.job is negative when the record of that job was removed.
 * - ending.kept: what goes with the record besides its rows: bytes in the job's
 *   directory, of its result and error.  Count 'kept_bytes' is their sum.
 * - doomed: compositions of many parts that are being removed (remove.h).
 * - gone: jobs whose record was removed and whose directory was not yet.
 * - meta 'pruned_seq': of the events up to here some were removed with their
 *   jobs.  'history_seq': all ends up to here had their turn to be removed.
 */
static const char version_2[] =
	"ALTER TABLE job ADD COLUMN parent INTEGER;"
	"ALTER TABLE job ADD COLUMN part INTEGER;"
	"ALTER TABLE job ADD COLUMN run_of INTEGER;"
	"ALTER TABLE job ADD COLUMN retry_of INTEGER;"
	"ALTER TABLE job ADD COLUMN flags INTEGER;"
	"ALTER TABLE job ADD COLUMN tries INTEGER;"
	"ALTER TABLE job ADD COLUMN keep INTEGER;"
	"CREATE INDEX job_part ON job(parent, run_of, part) WHERE parent IS NOT NULL;"

	"CREATE TABLE need ("
	"  job INTEGER NOT NULL REFERENCES job(id),"
	"  n INTEGER NOT NULL,"
	"  on_job INTEGER NOT NULL,"
	"  cond TEXT NOT NULL CHECK (cond = 'success' OR cond = 'failure' OR cond = 'done'),"
	"  PRIMARY KEY (job, n)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX need_on ON need(on_job);"

	"CREATE TABLE deadline ("
	"  job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  due INTEGER NOT NULL,"
	"  due_boot INTEGER,"
	"  boot INTEGER"
	") STRICT;"

	"CREATE TABLE stop_2 ("
	"  job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  why TEXT NOT NULL CHECK ("
	"    why = 'cancel' OR why = 'timeout' OR why = 'deadline' OR why = 'parent'),"
	"  by_uid INTEGER NOT NULL,"
	"  message TEXT"
	") STRICT;"
	"INSERT INTO stop_2 SELECT job, why, by_uid, message FROM stop;"
	"DROP TABLE stop;"
	"ALTER TABLE stop_2 RENAME TO stop;"

	"CREATE TABLE expiry ("
	"  job INTEGER PRIMARY KEY REFERENCES job(id),"
	"  due INTEGER NOT NULL"
	") STRICT;"
	"CREATE INDEX expiry_due ON expiry(due);"

	"UPDATE submit_key SET job = -job"
	"  WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = submit_key.job);"
	"CREATE INDEX submit_key_orphan ON submit_key(expires) WHERE job < 0;"

	"CREATE TABLE doomed (job INTEGER PRIMARY KEY) STRICT;"
	"CREATE TABLE gone (job INTEGER PRIMARY KEY) STRICT;"

	"ALTER TABLE ending ADD COLUMN kept INTEGER;"
	"INSERT INTO count VALUES ('kept_bytes', 0);"
	"INSERT INTO meta VALUES ('pruned_seq', 0), ('history_seq', 0);";

/*
 * Version 3: what is counted and numbered stands in one row, which is written
 * now and then (tally.h); meta keeps 'clean'.
 */
static const char version_3[] =
	"CREATE TABLE tally ("
	"  one INTEGER PRIMARY KEY CHECK (one = 1),"
	"  next_id INTEGER NOT NULL,"
	"  next_seq INTEGER NOT NULL,"
	"  pruned_seq INTEGER NOT NULL,"
	"  history_seq INTEGER NOT NULL,"
	"  kept_bytes INTEGER NOT NULL,"
	"  waiting INTEGER NOT NULL,"
	"  running INTEGER NOT NULL,"
	"  stopping INTEGER NOT NULL,"
	"  done INTEGER NOT NULL,"
	"  succeeded INTEGER NOT NULL,"
	"  failed INTEGER NOT NULL,"
	"  timed_out INTEGER NOT NULL,"
	"  cancelled INTEGER NOT NULL,"
	"  skipped INTEGER NOT NULL,"
	"  lost INTEGER NOT NULL"
	") STRICT;"
	"INSERT INTO tally SELECT 1, max(iif(key = 'next_id', value, 0)),"
	"  max(iif(key = 'next_seq', value, 0)), max(iif(key = 'pruned_seq', value, 0)),"
	"  max(iif(key = 'history_seq', value, 0)), c.* FROM meta, ("
	"    SELECT max(iif(what = 'kept_bytes', value, 0)), max(iif(what = 'waiting', value, 0)),"
	"      max(iif(what = 'running', value, 0)), max(iif(what = 'stopping', value, 0)),"
	"      max(iif(what = 'done', value, 0)), max(iif(what = 'succeeded', value, 0)),"
	"      max(iif(what = 'failed', value, 0)), max(iif(what = 'timed_out', value, 0)),"
	"      max(iif(what = 'cancelled', value, 0)), max(iif(what = 'skipped', value, 0)),"
	"      max(iif(what = 'lost', value, 0)) FROM count) AS c;"
	"DROP TABLE count;"
	"DELETE FROM meta WHERE key IN ('next_id', 'next_seq', 'pruned_seq', 'history_seq');";

/*
 * Version 4: attempt.result, of one that another was to follow; the result of the one
 * that ended the job is the job's (ending).
 */
static const char version_4[] = "ALTER TABLE attempt ADD COLUMN result TEXT;";

static const char *const steps[] = { version_1, version_2, version_3, version_4 };

const struct schema schema_current = {
	.version = sizeof(steps) / sizeof(steps[0]),
	.steps = steps,
};

int schema_migrate(sqlite3 *db, const struct schema *schema, int64_t from)
{
	char pragma[64];
	int rc = db_exec(db, "BEGIN IMMEDIATE");

	for (int64_t v = from; v < schema->version && rc == SQLITE_OK; v++)
		rc = db_exec(db, schema->steps[v]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", schema->version);
	if (rc == SQLITE_OK)
		rc = db_exec(db, pragma);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "COMMIT");
	if (rc != SQLITE_OK)
		db_rollback(db);
	return rc;
}

/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_TALLY_H
#define DAEMON_STORE_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "daemon/store/store.h"

/*
 * What is counted and numbered, so that nothing has to be counted (R1.3) and no
 * number is dealt twice.  The file has it in one row, table tally.  That row is
 * a checkpoint: whatever was submitted or changed since has a number from its
 * next_seq on, and loading adds that up.  So most commits need not write it: of
 * a lone submit it would be one page of four.
 *
 * Functions return an SQLite code.
 */
struct tally {
	int64_t next_id, next_seq;
	int64_t pruned_seq;  /* of the events up to here some were removed with their jobs */
	int64_t history_seq; /* all ends up to here had their turn to be removed */
	int64_t kept_bytes;
	int64_t by_state[N_JOB_STATES];
	int64_t by_outcome[N_JOB_OUTCOMES];

	int64_t stored_seq; /* next_seq in the file's row */
	bool is_needed;	    /* something has changed that the other rows do not tell */
};

/*
 * The row, and what came after it.  SQLITE_EMPTY: there is no row.
 * SQLITE_CORRUPT: a row that came after it makes no sense.
 */
int tally_load(sqlite3 *db, struct tally *ret);
/* Something came after the row, which is no fault unless the daemon has stopped in order. */
static inline bool tally_is_behind(const struct tally *t)
{
	return t->stored_seq < t->next_seq;
}
/* From the rows alone, and slowly: what can be counted. */
int tally_count(sqlite3 *db, struct tally *ret);
/*
 * Make the row of a database that has none: one that was saved from a damaged
 * one.  Numbers go on well beyond those that are there, since others, which
 * were dealt as well, may be lost.
 */
int tally_make(sqlite3 *db);

/* Is the row to be written in the open transaction? */
bool tally_is_due(const struct tally *t);
/* Write it.  @update is TALLY_UPDATE. */
int tally_store(struct tally *t, sqlite3_stmt *update);
#define TALLY_UPDATE                                                                       \
	"UPDATE tally SET next_id = ?1, next_seq = ?2, pruned_seq = ?3, history_seq = ?4," \
	" kept_bytes = ?5, waiting = ?6, running = ?7, stopping = ?8, done = ?9,"          \
	" succeeded = ?10, failed = ?11, timed_out = ?12, cancelled = ?13, skipped = ?14," \
	" lost = ?15"

#endif
